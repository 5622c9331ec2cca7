"""What a run is made of, by content, and the name that follows from it.

    config            every value that results depend on, with its defaults; neither paths nor names
    corpora.ID        audio: the bytes behind each utterance that is used; labels, speakers, texts: of all that are listed
    files.PATH        what stands there in the config: a checkpoint's folder, a file of components; of a model on a hub, the commit
    code.PACKAGE      all files of a package that provides a component: modules, helpers, data; the engine's own are sere's

A run's folder, and in a comparison its job, is called by a digest of all of these.  What is made differently is another run;
the parts stand in manifest.json, so that it can be said what has changed.  Neither torch nor any plugin is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.content import Contents, digest_of, files_below
from sere_core.provenance import ENGINE, beside, code_digest, files_of, hub_commits
from sere_core.untrusted import json_of, read_stored
from sere_registry import Problem, SereError, error
from sere_registry.files import FolderLock, corpora_folder, writing
from sere_registry.utterances import Recording, Utterance

if TYPE_CHECKING:
    from sere_core.config.resolved import Bound, Resolved
    from sere_core.plan import Plan

#: what is said of an utterance, by the part that it counts in
_SAID: Mapping[str, Callable[[Utterance], tuple[object, ...]]] = {
    "labels": lambda each: (each.emotion,),
    "speakers": lambda each: (each.recording.speaker, each.recording.gender, each.recording.language),
    "texts": lambda each: (each.recording.text,),
}
_COUNTS = "a relative path counts from the folder of the config that it stands in, after --set from the working directory"


@dataclass(frozen=True)
class Identity:
    """The parts of a run, flat: name of the part -> digest."""

    parts: Mapping[str, str]

    @property
    def name(self) -> str:
        """12 hex digits that tell runs apart."""
        return hashlib.sha256(json.dumps(dict(self.parts), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def config(self) -> str:
        return self.parts["config"]

    def changes(self, recorded: Mapping[str, str]) -> list[str]:
        """What differs from the parts of another run, in words; the config aside.

        >>> Identity({"config": "a", "corpora.it.labels": "b"}).changes({"config": "a", "corpora.it.labels": "c"})
        ["labels of corpus 'it'"]
        """
        names = sorted(name for name in {*self.parts, *recorded} - {"config"} if self.parts.get(name) != recorded.get(name))
        return list(dict.fromkeys(map(_in_words, names)))


def identify(plan: Plan, resolved: Resolved | None = None) -> Identity:
    """The identity of a planned run.  Files are read where their digests are not remembered.

    Args:
        resolved: another config than the plan's, of the same corpora and task.

    Raises:
        SereError: C302 for every parameter of a component in use that names a file or folder which is not there; X703; T505.
    """
    resolved = resolved or plan.resolved
    bounds = {path: bound for path, bound in resolved.components.items() if not path.startswith("hooks.")}
    parts = {"config": resolved.digest(), **plan.data, **codes(bounds.values(), plan.contents)}
    spare = {f"encoders.{name}" for name in resolved.config.encoders if name not in plan.paths}
    missing = []
    for path, bound in bounds.items():
        if bound.use.startswith("file:"):
            parts[f"files.{path}.use"] = digest_of(beside(Path(bound.distribution)), plan.contents)
        if not path.startswith("corpora."):
            for name, value in files_of(bound).items():
                if value.exists():
                    parts[f"files.{path}.params.{name}"] = digest_of(files_below(value), plan.contents)
                elif ".".join(path.split(".")[:2]) not in spare:
                    missing.append(Problem("C302", f"there is no {value}", _COUNTS, resolved.place(f"{path}.params.{name}")))
            parts |= {f"files.{path}.params.{name}": commit for name, commit in hub_commits(bound).items()}
    if missing:
        raise SereError(*missing)
    plan.contents.save()
    return Identity(parts)


def data_parts(plan: Plan, listings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The parts of a plan's corpora.

    Args:
        listings: what each says of its utterances, see `listing_digests`.
    """
    made = f"{corpora_folder(plan.resolved.config.features.cache)}{os.sep}"
    used = sorted((recording for recording, _ in plan.recordings.values()), key=lambda each: each.key)
    plan.contents.recall(each.path for each in used if not str(each.path).startswith(made))
    parts = {f"corpora.{name}.{what}": digest for name, listing in listings.items() for what, digest in listing.items()}
    for name in listings:
        parts[f"corpora.{name}.audio"] = _audio([each for each in used if each.corpus == name], plan.contents, made)
    return parts


def listing_digests(utterances: Sequence[Utterance]) -> dict[str, str]:
    """What a corpus says of its utterances, in no order: a digest of the labels, one of who speaks, one of what is said."""
    return {name: _digest((each.id, *said(each)) for each in utterances) for name, said in _SAID.items()}


def changed_since(output: Path, identity: Identity, resume: bool, fresh: bool) -> tuple[str, ...]:
    """A warning where a folder holds a run of the same config that is made of something else; of several, of the last.

    Args:
        resume: an interrupted run is to go on.
        fresh: such runs are thrown away.

    Raises:
        SereError: T505 if that would be this other one.
    """
    found = others(output, {identity.config: identity}, {identity.name})
    if not found:
        return ()
    folder, changes = found[-1]
    what = f"changed since the run in {folder}: {', '.join(changes)}"
    if fresh:
        for old, _ in found:
            with writing(old):
                FolderLock(old).release()  # nobody is at work there
                (old / "done").unlink(missing_ok=True)
                shutil.rmtree(old)
        return (f"{what}; it is thrown away",)
    if resume and not (folder / "done").exists():
        raise error("T505", what, "without --resume this is another run, of what is there now")
    return (f"{what}; this is another run",)


def others(output: Path, planned: Mapping[str, Identity], known: Collection[str]) -> list[tuple[Path, list[str]]]:
    """Runs of the same configs that are made of something else, with what; the last to be written last.

    Args:
        output: the folder of the runs' folders.
        planned: by the digest of their configs.
        known: names of runs that are not looked at.
    """
    found = []
    for path in output.glob("*/manifest.json"):
        if path.parent.name in known:
            continue
        with contextlib.suppress(OSError, SereError):
            recorded = parts_of(json_of(read_stored(path, ""), path, ""))
            if identity := planned.get(recorded.get("config", "")):
                found.append((path.stat().st_mtime_ns, path.parent, identity.changes(recorded)))
    return [(folder, changes) for _, folder, changes in sorted(found)]


def check_unchanged(identity: Identity, manifest: Mapping[str, object], folder: Path) -> None:
    """That the data of a record, and the weights it began with, are still there.

    Raises:
        SereError: T505, for everything that has changed.
    """
    recorded = parts_of(manifest)
    mine = {name: value for name, value in identity.parts.items() if not name.startswith("code.")}
    theirs = {name: value for name, value in recorded.items() if not name.startswith("code.")}
    changed = Identity({"config": "", **mine}).changes(theirs)
    if changed:
        raise SereError(*(Problem("T505", f"not as in the record in {folder}: {what}", "run the config again") for what in changed))


def parts_of(manifest: object) -> dict[str, str]:
    """The parts of the run that a manifest is of; empty where it names none."""
    found = manifest.get("made_of") if isinstance(manifest, Mapping) else None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


#: `code.PACKAGE` as this process first found it: the modules that it has imported are of that code
_FIRST: dict[str, str] = {}


def codes(bounds: Iterable[Bound], contents: Contents) -> dict[str, str]:
    """`code.PACKAGE` of the components' packages and of the engine: one digest for each package.

    Raises:
        SereError: T505 for one that was edited since this process took it up.
    """
    packages = {ENGINE: "sere_core"}
    for bound in bounds:
        if not bound.use.startswith("file:"):
            packages.setdefault(bound.distribution, bound.spec.factory.partition(":")[0].partition(".")[0])
    found = {f"code.{name}": code_digest(name, module, contents) for name, module in packages.items()}
    for (name, digest), module in zip(found.items(), packages.values(), strict=True):
        if module not in sys.modules:
            _FIRST.pop(name, None)
        if _FIRST.setdefault(name, digest) != digest:
            what = f"{_in_words(name)} was edited after this process had taken it up"
            raise error("T505", what, "begin a new process, or restart the notebook's kernel: what is imported is the old code")
    return found


def _audio(recordings: Iterable[Recording], contents: Contents, made: str) -> str:
    """Of the stretches of files that are used; one that the corpus makes counts by its place, which follows from what it is made of."""

    def content(each: Recording) -> str:
        path = str(each.path)
        try:
            return path.removeprefix(made) if path.startswith(made) else contents.digest(each.path)
        except (OSError, ValueError) as cause:  # whoever reads the audio says so
            return type(cause).__name__

    return _digest((each.id, content(each), each.start, each.end) for each in recordings)


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    lines = sorted(json.dumps(row, ensure_ascii=True) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _in_words(part: str) -> str:
    kind, _, rest = part.partition(".")
    if kind == "code":
        return "the engine's code" if rest == ENGINE else f"code of {rest}"
    if kind == "corpora":
        name, _, what = rest.rpartition(".")
        return f"{what} of corpus '{name}'"
    return f"the content of {rest}" if kind == "files" else part
