"""The MCP server: what coding agents may ask by themselves. It knows the agent's local API."""
