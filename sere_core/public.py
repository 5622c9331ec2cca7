"""What plugins may import from the engine; everything else in sere_core may change at any time."""

from sere_core.features.audio import SAMPLE_RATE
from sere_core.features.contours import on_grid
from sere_core.features.spectra import centred, decibels, mel_filters, power
from sere_core.functional import pack_rows, pad_rows

__all__ = [
    "SAMPLE_RATE",
    "centred",
    "decibels",
    "mel_filters",
    "on_grid",
    "pack_rows",
    "pad_rows",
    "power",
]
