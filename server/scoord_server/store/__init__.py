"""Where the truth is kept: the port, its two adapters, and the key layout."""
