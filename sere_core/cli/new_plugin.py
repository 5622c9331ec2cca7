"""`sere plugins new NAME --kind KIND`: a whole package with a small component that works, to begin from."""

from __future__ import annotations

import errno
import keyword
import re
import textwrap
from argparse import Namespace
from pathlib import Path
from string import Template
from typing import Any

import yaml

import sere_core
from sere_core.cli.arguments import print_json
from sere_core.config.yaml_text import Loader
from sere_registry.entries import noun
from sere_registry.errors import error
from sere_registry.files import expanded
from sere_registry.kinds import API, FIRST_PARTY, GROUPS, Kind

_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TEMPLATES = Path(__file__).with_name("template")
#: names that a module of the package, or the engine, has already
_TAKEN = frozenset({"specs", "local", "test", "tests"})


def run(arguments: Namespace) -> int:
    """Write the package."""
    namespace, component = _names(arguments.name)
    folder = write(arguments.kind, namespace, component, expanded(arguments.into))
    full = f"{namespace}.{component}"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if arguments.json:
        print_json({"name": full, "kind": arguments.kind, "folder": str(folder), "files": files})
        return 0
    print(f"{folder}: the {arguments.kind} '{full}'")
    print("\n".join(f"  {name}" for name in files))
    print(f"\nnext:\n  cd {folder}\n  pip install -e '.[dev]'\n  pytest\n  sere-run example.yaml")
    note = _skeletons()["kinds"][arguments.kind].get("note")
    if note:
        print(f"\n{note}")
    return 0


def write(kind: Kind, namespace: str, component: str, into: Path) -> Path:
    """Write the package `sere-plugin-<namespace>` below `into`; returns its folder."""
    folder = into / f"sere-plugin-{namespace.replace('_', '-')}"
    texts = _texts(kind, namespace, component, folder.name)
    try:
        into.mkdir(parents=True, exist_ok=True)
        folder.mkdir()  # fails if there is anything of that name: nothing is overwritten
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except FileExistsError as cause:
        hint = "choose another name or --into, or add the component to that package by hand"
        raise error("C304", f"{cause.filename} is there already, and nothing is overwritten", hint) from None
    except OSError as cause:
        code = "X705" if cause.errno == errno.ENOSPC else "X704"
        raise error(code, f"{folder} cannot be written: {cause.strerror or cause}", "choose another folder with --into") from None
    return folder


def _names(text: str) -> tuple[str, str]:
    """Namespace and component of what the user wrote: a component's full name, or the name of a distribution.

    >>> _names("xyz.focal"), _names("sere-plugin-xyz"), _names("my-loss")
    (('xyz', 'focal'), ('xyz', 'xyz'), ('my_loss', 'my_loss'))
    """
    namespace, dot, component = text.replace("-", "_").partition(".")
    namespace = namespace.removeprefix("sere_plugin_")
    component = component if dot else namespace
    for word in (namespace, component):
        if not _WORD.fullmatch(word):
            hint = "lower-case letters, digits and -, beginning with a letter: sere-plugin-xyz, or NAMESPACE.COMPONENT, e.g. xyz.focal"
            raise error("C302", f"{text!r} cannot be the name of a component", hint)
        if keyword.iskeyword(word) or keyword.issoftkeyword(word) or word in _TAKEN:
            raise error("C302", f"{text!r} cannot be the name of a component: '{word}' is taken", "choose another word")
    if namespace == FIRST_PARTY:
        raise error("R204", f"{text!r}: the namespace `sere.` is reserved for sere itself", "choose a namespace of your own")
    return namespace, component


def _skeletons() -> dict[str, dict[str, Any]]:
    """`template/kinds.yaml`: the sections of an example, and what is particular to each kind."""
    made: dict[str, dict[str, Any]] = yaml.load((_TEMPLATES / "kinds.yaml").read_bytes(), Loader)
    return made


def _texts(kind: Kind, namespace: str, component: str, distribution: str) -> dict[str, str]:
    """File name -> text."""
    skeletons = _skeletons()
    skeleton = skeletons["kinds"][kind]
    package = f"sere_plugin_{namespace}"
    words = {
        "kind": kind,
        "noun": noun(kind),
        "group": GROUPS[kind],
        "api": str(API),
        "full": f"{namespace}.{component}",
        "component": component,
        "Class": _class_name(kind, component),
        "CONSTANT": component.upper(),
        "package": package,
        "distribution": distribution,
        "bounds": _bounds(sere_core.__version__),
        "summary": skeleton["summary"],
        "params": textwrap.indent(skeleton["params"], "    "),
        "note": f"\n{skeleton['note']}\n" if "note" in skeleton else "",
        "imports": f"{skeleton['imports']}\n\n" if "imports" in skeleton else "",
        "more": f"    {skeleton['more']}\n" if "more" in skeleton else "",
    }
    words["usage"] = Template(skeleton["usage"]).substitute(words)
    sections = skeletons["example"] | skeleton.get("example", {})
    words["sections"] = "\n".join(Template(text).substitute(words) for text in sections.values() if text)
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "example.yaml": "example.yaml",
        ".github/workflows/ci.yml": "ci.yml",
        f"src/{package}/__init__.py": "init.py",
        f"src/{package}/specs.py": "specs.py",
        f"src/{package}/{component}.py": f"{kind}.py",
        "tests/test_conformance.py": "test_corpus.py" if kind == "corpus" else "test_conformance.py",
    }
    texts = {name: Template(_template(source)).substitute(words) for name, source in files.items()}
    return {**texts, f"src/{package}/py.typed": "", ".gitignore": "__pycache__/\n*.egg-info/\ndist/\nruns/\n"}


def _class_name(kind: Kind, component: str) -> str:
    """`focal_loss` -> `FocalLoss`; where its file imports something of that name, the kind follows: `Frames` -> `FramesView`."""
    name = "".join(part.capitalize() for part in component.split("_"))
    words = re.findall(r"\w+", _template(f"{kind}.py"))
    return name if name not in words else name + noun(kind).split()[-1].capitalize()


def _template(name: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")


def _bounds(version: str) -> str:
    """From this version to before the next that may break it: `>=0.1,<0.2`; from 1.0 on the next major one."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"
