"""First-party dynamics."""
