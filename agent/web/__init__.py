"""Pages and the local API."""
