"""Readers: NFC/RFID, camera, scanners. Each runs as a process of its own and prints readings."""
