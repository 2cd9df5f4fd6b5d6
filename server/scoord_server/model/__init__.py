"""Pure rules: a command becomes a transaction, its result becomes an outcome."""
