"""What one worktree's files and history say of how its parts belong together."""
