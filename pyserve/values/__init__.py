"""How the values of settings are written and read: kinds, addresses, references to applications, processor
counts."""
