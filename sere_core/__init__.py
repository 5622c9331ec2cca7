"""The engine of sere: data, folds, features, training, scoring and records."""

__version__ = "0.1.0"
