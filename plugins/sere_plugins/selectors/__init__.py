"""First-party selectors."""
