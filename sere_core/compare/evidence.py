"""What a record says of the conditions of its run, flat: name -> value; the proof compares these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sere_core.config.origins import leaves
from sere_registry.errors import error

Evidence = Mapping[str, str]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: of a config: what results do not depend on, as in the digest that names a job
_IGNORED = ("name", "plugins", "output", "hooks", "features.cache", "train.device", "train.threads", "train.checkpoint_every", "seed")


def read_evidence(record: Path) -> dict[str, str]:
    """The conditions of a finished run, from its record.

    Names begin with what they are of: `config.`, `digests.`, `components.`, `versions.`, `seeds.`, `machine.`, or are `classes` and
    `selection`.

    Raises:
        SereError: T505 if the record cannot be read.
    """
    try:
        config = yaml.load((record / "config.yaml").read_bytes(), Loader=_LOADER)
        manifest = json.loads((record / "manifest.json").read_bytes())
        folds = json.loads((record / "folds.json").read_bytes())
        return evidence(config, manifest, folds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as cause:
        raise error("T505", f"{record} cannot be used: {cause!r}", "take it away; `sere compare` runs the job again") from cause


def evidence(config: Mapping[str, Any], manifest: Mapping[str, Any], folds: Mapping[str, Any]) -> dict[str, str]:
    """The conditions of a run, from the parts of its record.

    Args:
        config: config.yaml.
        manifest: manifest.json.
        folds: folds.json.
    """
    found = {f"config.{path}": value for path, value in _config(config)}
    for section in ("corpora", "features", "streams"):
        found.update({f"digests.{section}.{name}": str(value) for name, value in manifest["digests"].get(section, {}).items()})
    for stream in ("labelled", "source", "target", "test"):
        found[f"digests.folds.{stream}"] = _digest([fold[stream] for fold in folds["folds"]])
    found["classes"] = ", ".join(folds["classes"])
    found["selection"] = str(manifest["selection"])
    for each in manifest["components"]:
        if each["kind"] != "hook":
            found[f"components.{each['id']}"] = f"{each['name']} of {each['distribution']} {each['version']}"
            found[f"components.{each['id']}.code"] = str(each.get("code", ""))
    found.update({f"versions.{name}": str(value) for name, value in manifest["versions"].items()})
    found.update({f"seeds.{name}": str(value) for name, value in manifest["seeds"].items()})
    found.update({f"machine.{name}": str(manifest["machine"][name]) for name in ("device", "precision")})
    return found


def _config(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, value in leaves(config):
        name = ".".join(path)
        if not any(name == one or name.startswith(one + ".") for one in _IGNORED):
            yield name, value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
