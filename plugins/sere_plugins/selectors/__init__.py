"""Selectors: which epoch is kept, or which setting, without a label of the target."""
