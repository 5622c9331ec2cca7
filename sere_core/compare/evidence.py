"""What a record says of the conditions of its run, flat: name -> value; the proof compares these."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sere_core.compare.identity import Identity
from sere_core.config.nodes import leaves
from sere_registry.errors import error

Evidence = Mapping[str, str]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: of a config: what results do not depend on, as in the digest that names a job
_IGNORED = ("name", "plugins", "output", "hooks", "features.cache", "train.device", "train.threads", "train.checkpoint_every", "seed")
#: what a damaged record raises
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)
#: where a section of a config begins: a key without a blank before it
_SECTION = re.compile(rb"^(?=\w)", re.MULTILINE)


class Conditions:
    """The conditions of finished runs, from their records.

    Runs of one pair and seed have the same folds, and most sections of their configs are the same, to the byte: what was
    understood once is not parsed again.

    Attributes:
        seen: job -> the identity of its record's files, from before they were read.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Identity] = {}
        self._of: dict[str, Evidence] = {}
        self._folds: dict[bytes, Evidence] = {}
        self._sections: dict[bytes, tuple[str, Evidence]] = {}

    def put(self, job: str, contents: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        """Remember a record whose files have been read for another purpose; if it is damaged, `of` will say so."""
        with contextlib.suppress(*_DAMAGED):
            self._of[job] = self._evidence(contents["config.yaml"], manifest, contents["folds.json"])

    def of(self, record: Path) -> Evidence:
        """The conditions of a finished run; the record's name is its job's.

        Raises:
            SereError: T505 if the record cannot be read.
        """
        if record.name not in self._of:
            try:
                config, manifest, folds = ((record / name).read_bytes() for name in ("config.yaml", "manifest.json", "folds.json"))
                self._of[record.name] = self._evidence(config, json.loads(manifest), folds)
            except (OSError, *_DAMAGED) as cause:
                raise error("T505", f"{record} cannot be used: {cause!r}", "take it away; `sere compare` runs the job again") from cause
        return self._of[record.name]

    def _evidence(self, config: bytes, manifest: Mapping[str, Any], folds: bytes) -> Evidence:
        key = hashlib.sha256(folds).digest()
        if key not in self._folds:
            self._folds[key] = _from_folds(json.loads(folds))
        return {**self._from_config(config), **_from_manifest(manifest), **self._folds[key]}

    def _from_config(self, config: bytes) -> Evidence:
        """Of a config in YAML, section by section; of the whole where sections do not stand by themselves, each with a key of its own."""
        found: dict[str, Evidence] = {}
        try:
            before, *sections = _SECTION.split(config)
            if before or not sections:
                raise ValueError("more than sections")
            for section in sections:
                if section not in self._sections:
                    ((name, value),) = yaml.load(section, Loader=_LOADER).items()
                    self._sections[section] = name, dict(_flat({name: value}))
                name, values = self._sections[section]
                if name in found:
                    raise ValueError("twice")
                found[name] = values
        except (ValueError, AttributeError, yaml.YAMLError):
            return dict(_flat(yaml.load(config, Loader=_LOADER)))
        return {name: value for values in found.values() for name, value in values.items()}


def read_evidence(record: Path) -> dict[str, str]:
    """The conditions of a finished run, from its record.

    Names begin with what they are of: `config.`, `digests.`, `components.`, `versions.`, `seeds.`, `machine.`, or are `classes` and
    `selection`.

    Raises:
        SereError: T505 if the record cannot be read.
    """
    return dict(Conditions().of(record))


def _from_manifest(manifest: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for section in ("corpora", "features", "streams"):
        found.update({f"digests.{section}.{name}": str(value) for name, value in manifest["digests"].get(section, {}).items()})
    found["selection"] = str(manifest["selection"])
    for each in manifest["components"]:
        if each["kind"] != "hook":
            found[f"components.{each['id']}"] = f"{each['name']} of {each['distribution']} {each['version']}"
            found[f"components.{each['id']}.code"] = str(each.get("code", ""))
    found.update({f"versions.{name}": str(value) for name, value in manifest["versions"].items()})
    found.update({f"versions.sere.{package}": str(digest) for package, digest in manifest["digests"].get("engine", {}).items()})
    found.update({f"seeds.{name}": str(value) for name, value in manifest["seeds"].items()})
    found.update({f"machine.{name}": str(manifest["machine"][name]) for name in ("device", "precision")})
    return found


def _from_folds(folds: Mapping[str, Any]) -> dict[str, str]:
    found = {f"digests.folds.{name}": _digest([fold[name] for fold in folds["folds"]]) for name in ("labelled", "source", "target", "test")}
    return {**found, "classes": ", ".join(folds["classes"])}


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, value in leaves(config):
        name = ".".join(path)
        if not any(name == one or name.startswith(one + ".") for one in _IGNORED):
            yield f"config.{name}", value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
