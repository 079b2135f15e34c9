"""Agent Squad's public package: the schemas, the client and the command line. Knows nothing of the server."""
