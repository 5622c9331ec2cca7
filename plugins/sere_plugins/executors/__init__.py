"""Executors: who starts the workers of a comparison."""
