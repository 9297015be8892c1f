"""The in-store application: one tap, the till's operations, pages and local API, diagnosis, command line."""
