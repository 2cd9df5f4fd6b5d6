"""The per-machine agent and the command line."""
