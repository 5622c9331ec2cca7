"""First-party hooks."""
