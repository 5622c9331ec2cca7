"""First-party resonance."""
