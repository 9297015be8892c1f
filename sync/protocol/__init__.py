"""What terminal and centre have in common: rows, their chain, and the messages of the exchange."""
