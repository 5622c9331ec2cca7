"""All components that installed distributions announce, found by name without importing one of them.

Entry points are scanned once, at the first question.  A component is imported when a run uses it, in a guard: a broken
plugin fails only the run that names it, with one line that says which distribution it is.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from sere_registry.entries import WORDS, Entry, noun
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.kinds import FIRST_PARTY, GROUPS, Kind
from sere_registry.scan import canonical, installed_entries, installed_version, local_entry, unread
from sere_registry.spec import ComponentSpec

__all__ = ["Catalog", "Entry"]

NOWHERE = Place()
#: which components are imported when they are found: those that come with sere, all that are installed, or `file:` too
Imports = Literal["own", "installed", "files"]


class Catalog:
    """The components of this environment.

    Args:
        entries: what to list; default: what the installed distributions announce.
        environ: where `SERE_DISABLE` and `SERE_NO_PLUGINS` are read.
        host_version: the version of sere; default: the installed one.
        installed: distribution name -> version, or None where it is not installed.
        disable: distributions that the command line refuses.
        imports: what may be imported.  Configs are read with what is installed; a run that starts imports their files, and what
            reads a record, which may be a stranger's, only what comes with sere.

    >>> Catalog([]).names("loss")
    []
    """

    def __init__(
        self,
        entries: Iterable[Entry] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        host_version: str | None = None,
        installed: Callable[[str], str | None] = installed_version,
        disable: Iterable[str] = (),
        imports: Imports = "installed",
    ) -> None:
        self.imports = imports
        self._refused = {canonical(name): name for name in disable}
        self._given = None if entries is None else list(entries)
        self._environ = os.environ if environ is None else environ
        self._installed = installed
        self._host_version = host_version
        self._entries: list[Entry] | None = None
        self._files: dict[tuple[Kind, str], Entry] = {}
        self.notes: list[str] = []  # distributions whose metadata cannot be read

    @property
    def entries(self) -> list[Entry]:
        """Every announced component, in the order of kind and name."""
        if self._entries is None:
            announced = installed_entries(self.notes) if self._given is None else self._given
            found: dict[tuple[str, ...], Entry] = {}
            for entry in announced:  # a catalog notes states of its own
                key = (entry.kind, entry.full_name, entry.value, canonical(entry.distribution))
                found.setdefault(key, replace(entry, state="listed", problem=None, cause=None, loaded=None))
            order = list(GROUPS)
            self._entries = sorted(found.values(), key=lambda one: (order.index(one.kind), one.full_name, one.distribution))
        return self._entries

    def names(self, kind: Kind, full: bool = False) -> list[str]:
        """The names that work for `kind`: short where that is unique."""
        usable = [entry for entry in self.entries if entry.kind == kind and not entry.usurps and not self._why_disabled(entry)]
        short = [entry.short_name for entry in usable]
        return sorted({entry.full_name if full or short.count(entry.short_name) > 1 else entry.short_name for entry in usable})

    def find(self, kind: Kind, name: str, place: Place = NOWHERE, disable: Iterable[str] = ()) -> Entry:
        """The component of this kind and name, its spec imported and checked; or unread, where it may not be imported.

        Args:
            kind: what is looked for.
            name: a full name, a short name while it is unique, or `file:PATH:ATTRIBUTE`.
            place: where it is named, for messages.
            disable: distributions that this run must not use.

        Raises:
            SereError: R201 to R204 for the name; P102 to P105, P107 and P108 for the plugin.
        """
        if name.startswith("file:"):
            if (kind, name) not in self._files:
                self._files[kind, name] = local_entry(kind, name, place)
            entry = self._files[kind, name]
        else:
            entry = self._named(kind, name, place, tuple(disable))
        if self.imports != "files" and (entry.local or (self.imports == "own" and entry.distribution != FIRST_PARTY)):
            return unread(entry)
        self._check(entry, place)
        return entry

    def probe(self, entries: Iterable[Entry]) -> None:
        """Import what is not sere's in children, one for each distribution: what fails there is not imported here."""
        from sere_registry.probe import InChild, failures  # which listings need and runs do not

        by_owner: dict[str, list[Entry]] = {}
        for entry in entries:
            known = entry.problem or entry.loaded or entry.usurps or self._why_disabled(entry)
            if entry.distribution != FIRST_PARTY and not known:
                by_owner.setdefault(entry.owner, []).append(entry)
        for entry, why, text in failures(by_owner.values(), lambda entry: self._check(entry, NOWHERE)):
            with suppress(SereError):
                entry.fail_import(why, NOWHERE, InChild(text))

    def inspect(self) -> list[Entry]:
        """Every entry, loaded in a guard so that its state and problem are known; for listings."""
        self.probe(self.entries)
        for entry in self.entries:
            reason = self._why_disabled(entry)
            try:
                if entry.usurps:
                    self._usurped(entry, NOWHERE)
                if reason:
                    entry.fail("P107", f"{noun(entry.kind)} '{entry.full_name}' of {entry.owner} is disabled by {reason}", "", NOWHERE)
                self._check(entry, NOWHERE)
            except SereError:
                continue
        usable = [entry for entry in self.entries if not entry.usurps and entry.state != "disabled"]
        for entry in usable:
            twins = [one for one in usable if (one.kind, one.full_name) == (entry.kind, entry.full_name)]
            if len(twins) > 1 and entry.loaded:
                entry.state, entry.problem = "duplicate", _announced_twice(twins)
        return list(self.entries)

    def require(self, requirement: str, place: Place = NOWHERE) -> None:
        """Check that a distribution is installed, from metadata.

        Raises:
            SereError: C302 (not a requirement), P101 (not installed in that version).
        """
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            wanted = Requirement(requirement)
        except InvalidRequirement:
            raise error("C302", f"'{requirement}' is not a requirement", "write it as for pip: 'sere-xyz>=0.2,<0.3'", place) from None
        version, install = self._installed(wanted.name), f'pip install "{requirement}"'
        if version is None:
            raise error("P101", f"{wanted.name} is not installed", install, place)
        if not wanted.specifier.contains(version, prereleases=True):
            raise error("P101", f"{requirement} is required, installed is {wanted.name} {version}", install, place)

    def left_out_in_vain(self, disable: Iterable[tuple[str, Place]] | None = None) -> list[Problem]:
        """A warning for each distribution that is to be left out and is not installed: its name may be misspelt.

        It is no error, since a shared config may name what is not installed everywhere.

        Args:
            disable: what a config leaves out, each with its place; default: what the command line and the environment leave out.
        """
        if disable is None:
            asked = [(name, "--disable", NOWHERE) for name in self._refused.values()]
            asked += [(name, "SERE_DISABLE", NOWHERE) for name in self._words("SERE_DISABLE")]
        else:
            asked = [(name, "plugins.disable", place) for name, place in disable]
        found = []
        for name, where, place in asked:
            known = {canonical(entry.distribution): entry.distribution for entry in self.entries}
            if canonical(name) not in known and self._installed(name) is None:
                message = f"{where} leaves nothing out: no distribution named '{name}' is installed"
                found.append(Problem("P107", message, suggest(name, known.values(), "distributions with components"), place))
        return found

    def _words(self, variable: str) -> list[str]:
        """The names in a variable of the environment, with commas or blanks between them."""
        return self._environ.get(variable, "").replace(",", " ").split()

    def _why_disabled(self, entry: Entry, disable: Iterable[str] = ()) -> str:
        name = canonical(entry.distribution)
        if name in {canonical(word) for word in disable}:
            return "plugins.disable"
        if name in self._refused:
            return "--disable"
        if name in {canonical(word) for word in self._words("SERE_DISABLE")}:
            return "SERE_DISABLE"
        if self._environ.get("SERE_NO_PLUGINS", "0") not in ("", "0") and entry.distribution != FIRST_PARTY:
            return "SERE_NO_PLUGINS"
        return ""

    def named(self, name: str) -> list[Entry]:
        """The entries of every kind with this full or short name."""
        return [entry for entry in self.entries if name in (entry.full_name, entry.short_name)]

    def _named(self, kind: Kind, name: str, place: Place, disable: tuple[str, ...]) -> Entry:
        matches = self.named(name)
        mine = [entry for entry in matches if entry.kind == kind]
        honest = [entry for entry in mine if not entry.usurps]
        usable = [entry for entry in honest if not self._why_disabled(entry, disable)]
        found = [entry for entry in usable if entry.full_name == name] or usable
        if not found:
            if honest:
                reason = self._why_disabled(honest[0], disable)
                message = f"{noun(kind)} '{honest[0].full_name}' of {honest[0].owner} is disabled by {reason}"
                raise error("P107", message, "enable it there, or use another component", place)
            if mine:
                self._usurped(mine[0], place)
            raise self._unknown(kind, name, [entry.kind for entry in matches], place)
        names = sorted({entry.full_name for entry in found})
        if len(names) > 1:
            message = f"'{name}' is the short name of several {_plural(kind)}"
            raise error("R202", message, f"write one of the full names: {', '.join(names)}", place)
        if len(found) > 1:
            raise SereError(replace(_announced_twice(found), place=place))
        return found[0]

    def _unknown(self, kind: Kind, name: str, elsewhere: list[Kind], place: Place) -> SereError:
        known = self.names(kind, full="." in name)
        if elsewhere:
            hint = f"{_plural(kind)}: {', '.join(known) or 'none'}"
            return error("R201", f"'{name}' is {WORDS[elsewhere[0]]}, not {WORDS[kind]}", hint, place)
        hint = suggest(name, known, _plural(kind))
        if self.notes:
            hint += f" (not listed: {'; '.join(self.notes)})"
        return error("R201", f"no {noun(kind)} named '{name}'", hint, place)

    def _usurped(self, entry: Entry, place: Place) -> None:
        message = f"{entry.owner} announces {noun(entry.kind)} '{entry.full_name}', but the namespace `sere.` is reserved for sere itself"
        entry.fail("R204", message, f"uninstall {entry.distribution}, or ask its author to rename the entry point", place)

    def _check(self, entry: Entry, place: Place) -> None:
        self._check_host(entry, place)
        self._check_needs(entry, entry.load(place), place)

    def _check_host(self, entry: Entry, place: Place) -> None:
        if entry.local or entry.distribution == FIRST_PARTY:
            return
        if self._host_version is None:
            self._host_version = self._installed(FIRST_PARTY)  # reads all of sere's metadata: once is enough
        host = self._host_version
        if host is None:
            return
        from packaging.requirements import InvalidRequirement, Requirement

        for text in entry.requires:
            try:
                wanted = Requirement(text)
            except InvalidRequirement:
                continue
            applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            if canonical(wanted.name) == FIRST_PARTY and applies and not wanted.specifier.contains(host, prereleases=True):
                message = f"{entry.owner} needs sere{wanted.specifier}, this is sere {host}"
                entry.fail("P103", message, f"install versions of sere and {entry.distribution} that fit", place)

    def _check_needs(self, entry: Entry, spec: ComponentSpec, place: Place) -> None:
        missing = [need.partition(":")[0] for need in spec.needs if not self._has(need)]
        if missing:
            name = f"{noun(entry.kind)} '{entry.full_name}' of {entry.owner}"
            message = f"{name} needs {', '.join(missing)}, which is not installed"
            bundle = spec.extra and not entry.local
            hint = f'pip install "{entry.distribution}[{spec.extra}]"' if bundle else f"pip install {' '.join(missing)}"
            entry.state, entry.problem = "incomplete", Problem("P108", message, hint)
            raise error("P108", message, hint, place)

    def _has(self, need: str) -> bool:
        name, _, module = need.partition(":")
        if not module and self._installed(name) is not None:
            return True
        try:  # only the top-level part: finding a submodule would import its parents
            return importlib.util.find_spec((module or name.replace("-", "_")).partition(".")[0]) is not None
        except (ImportError, ValueError):
            return False


def _announced_twice(entries: list[Entry]) -> Problem:
    """R203 for entries of one name."""
    owners, last = " and ".join(entry.owner for entry in entries), entries[-1]
    hint = f"uninstall one of them, or name it in plugins.disable or SERE_DISABLE={last.distribution}"
    return Problem("R203", f"{noun(last.kind)} '{last.full_name}' is announced by both {owners}", hint)


def _plural(kind: Kind) -> str:
    return GROUPS[kind].partition(".")[2]
