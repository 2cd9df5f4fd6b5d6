"""The coordinator: the team's service. All truth is in its store."""
