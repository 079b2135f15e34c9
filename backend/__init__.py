"""The Agent Squad server."""
