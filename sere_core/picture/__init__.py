"""Pictures of trained runs: what a resonance field sees between two utterances, and where a run puts the scored ones."""
