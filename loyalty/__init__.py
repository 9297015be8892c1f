"""The programme's rules, pure: no clock, no chance, no I/O."""
