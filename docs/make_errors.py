"""Writes `docs/errors.md`, the catalogue of error codes: `python docs/make_errors.py`.

What a code means stands in `sere_registry.errors`, the hint in `sere_core.cli.explain` (which `sere explain` reads too), the typical
cause here.
"""

from __future__ import annotations

from pathlib import Path

from sere_core.cli.explain import ADVICE
from sere_registry.errors import CODES, EXIT_CODES

PAGE = Path(__file__).with_name("errors.md")

_INTRODUCTION = """\
# Error codes

Written by `docs/make_errors.py`: the meanings come from `sere_registry/errors.py`, the hints from `sere_core/cli/explain.py`.

Every mistake is one line, and all that can be found at once are reported at once:

    my.yaml:14:3: losses.adapt.use: [R201] no loss named 'trik'
        did you mean 'tric'? losses: coral, cross_entropy, fixmatch, tric

`sere explain CODE` prints what stands here. Codes are stable. The first letter says whose mistake it is and which exit code the command
gets: 0 is done, 130 is interrupted. Anything without a code is a bug of sere and keeps its traceback.
"""
FAMILIES = {
    "P": "Plugins",
    "R": "Names in the registry",
    "C": "The config, and usage",
    "B": "Building components",
    "D": "Corpora and audio",
    "T": "The run",
    "X": "The environment",
}
#: code -> what usually leads to it
CAUSES: dict[str, str] = {
    "P101": "a config from a colleague, run in an environment without the plugin that it uses, or with an older one",
    "P102": "a typing mistake in a plugin's module, or a library that it imports and that changed",
    "P103": "sere was updated and the plugin was not, or the other way round",
    "P104": "the entry point leads to the class instead of its `ComponentSpec`, or stands in the group of another kind",
    "P105": "a plugin written for another api of the contract",
    "P106": "a misspelt hook or argument, a missing `@hookimpl`, or a hook that raised while the run went on",
    "P107": "a distribution switched off for another run, and forgotten in the environment or the config",
    "P108": "an optional dependency that was never installed",
    "R201": "a typing mistake, the name of another kind, or a plugin that is not installed here",
    "R202": "two plugins with a component of one short name",
    "R203": "two distributions that hold the same code, such as a plugin and its fork",
    "R204": "a plugin whose entry point begins with `sere.`",
    "C301": "a block that was copied and not renamed",
    "C302": "a misspelt key, a parameter outside `params`, text where a number belongs, or a number out of bounds",
    "C303": "a block that holds parameters only, often after its `use` was taken away",
    "C304": "a relative path seen from another folder, or two files that extend each other",
    "C305": "a path without `=`, or one to a key that does not exist",
    "C306": "an environment variable that is not set, or a misspelt `vars` name",
    "C307": "`no`, `off`, `1e3` or `010` without quotes",
    "C308": "a corpus or encoder that was renamed in one place only",
    "C309": "a config without `sere: 1`, or one written for a newer sere",
    "C310": "tabs for indentation, a missing quote, or a file that is not a config at all",
    "C311": "a part was exchanged, and another that leaned on it stayed: a loss that reads a field in a config without `resonance`, say",
    "B401": "a constructor that meets values it did not expect",
    "B402": "a component that announces one width and returns another",
    "B403": "a method of the protocol that is missing, or returns another shape than promised",
    "D601": "an unset or wrong data folder; a disk that is not mounted",
    "D602": "the folder above or below the right one, or another release of the corpus",
    "D603": "a download that broke off, or a file with the wrong suffix",
    "D604": "a file with a header and nothing behind it, or a part that begins after the end",
    "D605": "a recording that failed, or a muted channel",
    "D606": "a conversion that overflowed",
    "D607": "more shots than the rarest class has, often a class of one corpus that is rare in the other",
    "D608": "labels in another language or with other names than the vocabulary's",
    "D609": "a corpus with fewer speakers than folds",
    "D610": "a manifest with a missing column, a label that is not an emotion, or one utterance twice",
    "D611": "a method that reads a stream which its stage does not declare, or code that asks for target labels",
    "D612": "a word of a few milliseconds, or a part with almost equal start and end",
    "T501": "a learning rate that is too high, or a division by zero in a loss",
    "T502": "Ctrl-C, or the end of a job's time",
    "T503": "the same config as before, whose run did not finish",
    "T504": "the same config started twice",
    "T506": "a library or plugin upgraded, or a corpus replaced, between two calls of `sere compare`",
    "T507": "a plugin that raises an exception of Python during training",
    "T508": "a row that is trained on all labels of the source beside rows with five shots",
    "T505": "a file edited or copied by hand, a corpus that changed, or a plugin whose parameters have other shapes now",
    "X701": "two packages whose versions do not go together, such as torch and torchaudio",
    "X702": "`device: cuda` on a machine without a GPU, or one whose driver is older than torch",
    "X703": "a model that was never downloaded, on a machine without a network",
    "X704": "a folder of somebody else's, or a read-only disk",
    "X705": "checkpoints of a large encoder, or features of a large corpus",
    "X706": "a batch too large for the memory, or a worker that the system ended",
    "X707": "the wrong port, a scheduler that listens on another interface, or workers that still wait in a queue",
    "X708": "an environment that was updated on one machine only, or a folder of a machine's own under a shared name",
}


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for letter, title in FAMILIES.items():
        parts.append(f"## {letter}: {title}\n\nExit code {EXIT_CODES[letter]}.\n")
        for code, meaning in CODES.items():
            if code.startswith(letter):
                parts.append(f"### {code}\n\n**{meaning[0].upper()}{meaning[1:]}.**\n")
                parts.append(f"Typical cause: {CAUSES[code]}.\n\nHint: {ADVICE[code]}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
