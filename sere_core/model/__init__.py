"""A trained model that has left its record: one folder that predicts on any audio.

`folder` is its format, `export` makes it, `model` predicts with it.
"""

from sere_core.model.model import Clip, Model, Prediction

__all__ = ["Clip", "Model", "Prediction"]
