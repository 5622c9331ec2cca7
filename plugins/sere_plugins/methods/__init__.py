"""First-party methods."""
