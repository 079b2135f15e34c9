"""What goes over the wire, as pydantic models, shared by client and server. Pydantic only."""
