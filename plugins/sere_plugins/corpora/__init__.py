"""First-party corpora."""
