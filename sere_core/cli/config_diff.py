"""`sere config diff A B`: the resolved values in which two configs differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.config import Resolved

_ABSENT = object()


def add_arguments(parser: Any) -> None:
    parser.add_argument("first", metavar="A", help="a YAML file, or the name of a config that comes with sere")
    parser.add_argument("second", metavar="B", help="another")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any) -> int:
    """Print one block for each value that differs; 0 whether or not there is one.

    Raises:
        SereError: every mistake in either config.
    """
    from sere_core.config import load
    from sere_core.config.yaml_text import flow

    first, second = load(arguments.first), load(arguments.second)
    rows = differences(first, second)
    if arguments.json:
        print(json.dumps({"same": not rows, "job": [first.digest(), second.digest()], "differences": rows}, indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        print(row["path"])
        for side in ("a", "b"):
            value = flow(row[side]) if side in row else "-"
            print(f"    {side}: {value}" + (f"    ({row['origin_' + side]})" if side in row else ""))
    jobs = "the job is the same" if first.digest() == second.digest() else f"jobs {first.digest()} and {second.digest()}"
    print(f"{len(rows)} values differ; {jobs}")
    return 0


def differences(first: Resolved, second: Resolved) -> list[dict[str, Any]]:
    """Rows of path, `a` and `b` (left out on the side that has no such value) and their origins."""
    from sere_core.config.nodes import leaves
    from sere_core.config.nodes import dotted
    from sere_core.cli.origins import origin

    sides = [dict(leaves(config.config.model_dump(mode="json"))) for config in (first, second)]
    rows: list[dict[str, Any]] = []
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(path, _ABSENT) for side in sides]
        if values[0] is values[1] or (type(values[0]) is type(values[1]) and values[0] == values[1]):
            continue
        row: dict[str, Any] = {"path": dotted(path)}
        for side, value, config in zip("ab", values, (first, second), strict=True):
            if value is not _ABSENT:
                row |= {side: value, f"origin_{side}": origin(config, path)}
        rows.append(row)
    return rows
