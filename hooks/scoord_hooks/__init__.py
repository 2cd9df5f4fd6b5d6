"""Everything that knows what a coding CLI's hook looks like."""
