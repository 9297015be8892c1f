"""The journal, the snapshot of what the centre said, and the exchange between terminal and centre."""
