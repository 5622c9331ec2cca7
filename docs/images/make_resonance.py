"""Draws `resonance.png`, the README's picture, from a run of the default config: `python docs/images/make_resonance.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sere_core.cli import main

HERE = Path(__file__).parent
#: two angry utterances, one in each language
PAIR = ("xa01/anger-t01", "xb01/anger-t01")

if __name__ == "__main__":
    path = HERE / "resonance.png"
    assert main(["run", "sere_default", "--quiet"]) == 0
    assert main(["resonance", "sere_default", *PAIR, "-o", str(path)]) == 0
    image = Image.open(path).convert("RGB")
    image.resize((1160, round(1160 * image.height / image.width)), Image.Resampling.LANCZOS).quantize(160).save(path, optimize=True)
