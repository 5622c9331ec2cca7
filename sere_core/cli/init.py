"""`sere init`: looks at two corpora, says what they are, and writes a config for them, with a comment for every choice."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from sere_core.api.corpus import Corpus
from sere_core.api.recognise import Found, look
from sere_core.cli.arguments import Subparsers, add_command
from sere_core.config.yaml_text import flow
from sere_core.data.leakage import confounded_speakers, few_utterances
from sere_core.plan import open_corpus
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, SereError, error
from sere_registry.files import expanded, write_atomically

_EXAMPLES = """\
examples:
  sere init /data/emodb recordings/ --target-language ur -o my.yaml
  sere init mine.csv calls.csv -o my.yaml --method sere_plus    # or mcc
  sere init -o my.yaml                          # without folders: two made-up languages, to try things out

A corpus is a folder in an official layout (EmoDB, EMOVO, RAVDESS, CASIA, eNTERFACE'05), a manifest (.csv, .tsv, .jsonl) or a
folder that holds one, an audformat database, a folder of Hugging Face datasets, or any folder of audio.
Then: sere-run my.yaml --dry-run; sere train my.yaml -o model"""

METHODS = {
    "logistic": """\
# Logistic regression on the mean features, level with `sere` on six real pairs (docs/results.md).
# Others: logistic_balanced also teaches itself on the target, but takes all emotions for equally frequent in it;
# `sere init --method sere` writes the reference method of this package.
method: {use: sere.logistic}
""",
    "logistic_balanced": """\
# Logistic regression that teaches itself on the target with pseudo-labels in equal shares: on six real pairs a point and a half above
# `logistic` (docs/results.md), but wrong where some emotions are rare in the target.
method: {use: sere.logistic_balanced}
""",
    "sere_plus": """\
# Logistic regressions on the layers of the encoder: labels flow within the source first, then to the target (docs/sere_plus.md).
# It takes all emotions for about equally frequent in the target; shares: none assumes nothing, and gains less.
method: {use: sere.sere_plus, params: {shares: equal}}
""",
    "mcc": """\
# A network with minimum class confusion (arXiv 1912.03699): it trusts the groups that the target's utterances form.  Where a run finds
# sentences that everybody reads, these are emotions, and it is the best that was measured with all labels (docs/sere_plus.md); where it
# finds none, take sere_plus.
losses:
  classify: {use: sere.cross_entropy}
  adapt: {use: sere.mcc}
# steps_per_epoch: null would be one pass over the target
train: {epochs: 10, steps_per_epoch: 8, batch: {target: 64}}
""",
    "sere": """\
# SERE (arXiv 2604.07417): dynamic features, a resonance field, and two losses that align the languages.
dynamics: {use: sere.idfe}
resonance: {use: sere.irf}
losses:
  classify: {use: sere.cross_entropy}
  adapt: {use: sere.tric}
# steps_per_epoch: null would be one pass over the target
train: {epochs: 10, steps_per_epoch: 8}
""",
}

_ACOUSTIC = """\
# Acoustic descriptors at ten frames a second; nothing is downloaded.  Pretrained ones: wav2vec2, hubert, wavlm, whisper
# (docs/components.md), such as {use: sere.wavlm, params: {model: PATH_OR_NAME_ON_THE_HUB}}.
encoders:
  acoustic: {use: sere.acoustic, params: {rate: 10}}
paths: {labelled: acoustic, unlabelled: acoustic}
"""
_WHISPER = """\
# The means over time of {which}.
# `model` is a folder, or a name on the hub, which is downloaded once.
# Two encoders can stand side by side (docs/sere_plus.md): {{use: sere.concatenation, params: {{streams: [...]}}}}.
encoders:
  whisper: {{use: sere.whisper, params: {{model: openai/whisper-base, layer: {layer}, pool: true}}}}
paths: {{labelled: whisper, unlabelled: whisper}}
dynamics: {{use: sere.none}}
"""
#: by method
_LAYERS = {
    "sere_plus": _WHISPER.format(which="all layers of Whisper's encoder", layer="mix"),
    "mcc": _WHISPER.format(which="middle layers of Whisper's encoder, and the last, which tells sentences apart", layer="[1, 2, 3, 6]"),
}

_CONFIG = """\
# Written by `sere init`.  sere-run {file} --dry-run checks it, sere-run {file} runs and scores it,
# sere train {file} -o model makes a model, and sere predict model FILES -o predictions.csv uses it.
# `sere config explain {file} PATH` says what a value means.
sere: 1
name: {name}

# Relative paths count from the folder of this file.
corpora:
{corpora}
task:
  source: {source:<22}  # its labels teach
  target: {target:<22}  # what is adapted to and predicted; its labels, if any, only score
  # {classes_why}
  classes: {classes}
  # labelled utterances per emotion that teach, or all; SERE needs some of the source without labels
  shots: {shots}
{protocol}
{encoders}
{method}
hooks:
  progress: {{use: sere.progress}}

output: {{dir: "runs/${{name}}"}}   # of the record
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "init", run, _EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="the labelled corpus: a folder or a manifest")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="the speech in the other language, labelled or not")
    parser.add_argument("-o", "--output", metavar="FILE", default="my.yaml", help="the config (default: %(default)s)")
    help = "ISO 639-1 code, such as de, where the corpus does not say it"
    parser.add_argument("--source-language", metavar="CODE", default="", help=help)
    parser.add_argument("--target-language", metavar="CODE", default="", help=help)
    help = "how it learns; the config says more (default: %(default)s)"
    parser.add_argument("--method", choices=tuple(METHODS), default="logistic", help=help)
    parser.add_argument("--force", action="store_true", help="write over FILE if it is there")


def run(arguments: Namespace) -> int:
    """Look, say, write, and check what was written.

    Raises:
        SereError: what is wrong with a corpus, with the two together, or with the place of the config.
    """
    from sere_core.config import load
    from sere_core.plan import make_plan

    out, catalog = Path(arguments.output), Catalog()
    if out.exists() and not arguments.force:
        raise error("C304", f"{out} is there already, and nothing is overwritten", "--force writes over it", Place(path="-o"))
    if arguments.source and not arguments.target:
        raise error("C302", "there is a source but no target", "sere init SOURCE TARGET", Place(path="TARGET"))
    if not arguments.source:
        source, target = (_made(catalog, language) for language in ("xa", "xb"))
    else:
        source = look(Path(arguments.source), arguments.source_language, catalog)
        target = look(Path(arguments.target), arguments.target_language, catalog)
    for title, found in (("source", source), ("target", target)):
        print(f"{title}: {found.sentence()}")
        for remark in (*found.remarks, *(finding.message for finding in found.corpus.findings)):
            print(f"  {remark}")
    if not source.labels:
        hint = (
            "sere init LABELLED UNLABELLED: the first is learnt from"
            if target.labels
            else "where its paths tell emotions: `folder` with `emotion` and `labels`, docs/corpora.md"
        )
        raise error("D608", f"the source, {source.path}, has no labels", hint, Place(path="SOURCE"))
    write_atomically(out, config_text(source, target, out, arguments.method).encode())
    print(f"written: {out}")
    try:
        make_plan(load(out))
    except SereError:
        print(f"{out} needs a change before it runs:", file=sys.stderr)
        raise
    end = f"next:\n  sere-run {out} --dry-run\n  sere train {out} -o model\n  sere predict model FILES -o predictions.csv"
    print(end if target.labels else f"{end}\nThe target has no labels: runs predict, and nothing is scored.")
    return 0


def _made(catalog: Catalog, language: str) -> Found:
    params = {"language": language}
    return Found(None, "sere.synthetic", params, Corpus("synthetic", open_corpus(catalog, "synthetic", None, params)))


def config_text(source: Found, target: Found, out: Path, method: str) -> str:
    """The config for two corpora, in the folder of `out`."""
    names = [_name(found) for found in (source, target)]
    if names[0] == names[1]:
        names = [f"{names[0]}_source", f"{names[1]}_target"]
    shared = [name for name in source.labels if target.unlabelled or name in target.labels]
    if target.unlabelled:
        why = "Every emotion of the source; take away those that cannot occur in the target: a prediction is always one of these."
    else:
        why = "The emotions that both corpora have labels for."
    return _CONFIG.format(
        file=out,
        name=f"{names[0]}-to-{names[1]}",
        corpora="".join(map(_block, names, (source, target), (out, out))),
        source=names[0],
        target=names[1],
        classes=flow(shared),
        classes_why=why,
        shots=min([5, *(max(1, source.labels[name] // 2) for name in shared)]) if method == "sere" else "all",
        protocol=_protocol(source, target, method in _LAYERS),
        encoders=_LAYERS.get(method, _ACOUSTIC),
        method=METHODS[method],
    )


def _name(found: Found) -> str:
    """What the config calls a corpus: by its layout, or by the name of its folder or file."""
    language = found.params.get("language")
    if found.path is None:
        return str(language)
    stem = expanded(found.path).absolute().stem if found.use in ("sere.manifest", "sere.folder") else found.use.rpartition(".")[2]
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")
    return word if word[:1].isalpha() else f"corpus_{word}".rstrip("_")


def _block(name: str, found: Found, out: Path) -> str:
    key = "file" if found.use == "sere.manifest" else "root"
    params = {} if found.path is None else {key: _path(found.path, out)}
    lines = [f"  # {found.sentence()}", *(f"  # {remark}" for remark in found.remarks)]
    lines += [f"  {name}:", f"    use: {found.use}", "    params:"]
    lines += [f"      {key}: {flow(value)}" for key, value in {**params, **found.params}.items()]
    return "\n".join(lines) + "\n"


def _path(path: Path, out: Path) -> str:
    """As the config reads it: from its own folder, unless the path is absolute."""
    if path.is_absolute() or str(path).startswith("~"):
        return str(path)
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _protocol(source: Found, target: Found, by_text: bool) -> str:
    """How the target is divided, what standardises the features, and is what is said taken off; with the reasons."""
    lines: Sequence[tuple[str, str]]
    if not target.labels:
        lines = [("setting: transductive", "nothing in the target is labelled: one training on all of it, nothing scored")]
    elif target.unlabelled:
        lines = [("setting: transductive", "part of the target is labelled: one training on all of it, the labelled part scored")]
    elif target.speakers >= 5:
        lines = [("setting: inductive", "scored on speakers that were not adapted to"), ("folds: 5", "of the target's speakers")]
    elif target.speakers >= 2:
        lines = [("setting: inductive", "scored on speakers that were not adapted to"), ("folds: speakers", "leave one speaker out")]
    else:
        folds = max(2, min(5, len(target.corpus)))
        lines = [("setting: inductive", "scored on utterances that were not adapted to")]
        lines += [(f"folds: {folds}", "of the target's utterances"), ("disjoint: none", "speakers are unknown")]
    against, few = confounded_speakers(list(source.corpus)), few_utterances([each.recording for each in target.corpus])
    if source.speakers and target.speakers and against:
        lines = [*lines, ("normalise: corpus", against[0])]
    elif source.speakers and target.speakers and few:
        lines = [*lines, ("normalise: speaker", few[0]), ("shrinkage: 2", "each speaker's as n utterances, the corpus's as 2")]
    elif source.speakers and target.speakers:
        lines = [*lines, ("normalise: speaker", "features are standardised by each speaker's own mean and deviation")]
    else:
        lines = [*lines, ("normalise: corpus", "features are standardised by corpus, since speakers are not known on both sides")]
    if by_text:
        why = "what speakers say again and again is taken off (4 to 16 points with actors); false, where an emotion has texts of its own"
        why = why if source.speakers and target.speakers else "what is said is taken off of a side whose speakers are known"
        lines = [*lines, ("by_text: true", why)]
    return "".join(f"  {key:<30}  # {why}\n" for key, why in lines)
