"""Plain data -> YAML that the config reader reads back as the same data."""

from __future__ import annotations

from typing import Any

import yaml

from sere_core.config.scalars import Ambiguous, plain


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = plain(text) == text
    except Ambiguous:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else "'")


_Dumper.add_representer(str, _text)


def write(data: Any) -> str:
    """YAML, keys in the order of `data`.

    >>> print(write({"name": "no", "lr": 1e-4}), end="")
    name: 'no'
    lr: 0.0001
    """
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def flow(data: Any) -> str:
    """A value in one line.

    >>> flow("no"), flow([1, 1e-4]), flow({})
    ("'no'", '[1, 0.0001]', '{}')
    """
    text = str(yaml.dump([data], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True))
    return text.strip()[1:-1]
