"""An example of a plugin for sere."""
