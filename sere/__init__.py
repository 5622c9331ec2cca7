"""The Python API of sere: the engine behind the commands, for scripts and notebooks.

    import sere

    record = sere.run("sere_default")             # a config; what `sere-run` does
    record.uar, record.confusion()                # and record.plot_confusion(), plot_history(), plot_calibration()
    model = sere.load_model("model")              # the folder that `sere train` or `sere export` wrote
    model.predict(waveform, rate).label
    sere.compare("compare/small").table()         # what `sere compare` does

Importing this package imports no torch: the functions that need it do.  Mistakes are a `SereError` with coded lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sere_core import __version__
from sere_core.api.comparison import Comparison, compare, read_comparison
from sere_core.api.corpus import Corpus, load_corpus
from sere_core.api.model import load_model
from sere_core.api.record import Record, read_record, run
from sere_core.environment import prepare as _prepare
from sere_registry.errors import SereError

_prepare()

if TYPE_CHECKING:
    from sere_core.model import Model, Prediction

__all__ = [
    "Comparison",
    "Corpus",
    "Model",
    "Prediction",
    "Record",
    "SereError",
    "__version__",
    "compare",
    "load_corpus",
    "load_model",
    "read_comparison",
    "read_record",
    "run",
]


def __getattr__(name: str) -> object:
    if name in ("Model", "Prediction"):  # their module imports torch
        from sere_core import model

        return getattr(model, name)
    raise AttributeError(f"module 'sere' has no attribute {name!r}")
