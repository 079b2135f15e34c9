"""The door for coding agents: the verbs of a member as MCP tools, over streamable HTTP."""
