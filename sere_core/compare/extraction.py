"""The features of all jobs, extracted once before the first one starts; the jobs find them in the cache."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence

from sere_core.compare.claims import shared
from sere_core.config import Resolved
from sere_core.config.nodes import noted
from sere_core.console import Speaker
from sere_core.features.origin import encoder_origin
from sere_core.features.store import extract_all
from sere_core.plan import Plan, build_corpus, make_plan
from sere_core.train.device import choose_device
from sere_core.train.layer_choice import choose_layers
from sere_registry import BuildContext, Recording
from sere_registry.errors import Problem, SereError
from sere_registry.files import cache_folder

_AT_A_TIME = 128  # recordings that a process claims at a time, where several extract the same
#: what of a config decides which arrays are extracted, and of which recordings
_OF_ARRAYS = {"encoders", "features", "dynamics", "network"}
_OF_RECORDINGS = {"corpora", "task", "paths"}

Part = list[tuple[Recording, tuple[str, ...]]]


def extract_features(jobs: Iterable[Resolved], speaker: Speaker) -> None:
    """Fill the cache for these jobs; raises the problems of all files together.

    Where an encoder's layer is left to the run, it is chosen now, by the shots of each job.
    """
    groups: dict[str, dict[str, Plan]] = {}
    layers: dict[str, dict[str, int]] = {}
    for resolved in jobs:
        if resolved.open_layers:
            name = f"{_key(resolved, {'encoders', 'features'} | _OF_RECORDINGS)} {resolved.config.seed}"
            if name not in layers:
                layers[name] = _layers(make_plan(resolved), speaker)
            resolved = resolved.with_layers(layers[name])
        config = resolved.config
        every = config.task.normalise != "none" and config.task.target_shares is None  # all are needed then, whoever is drawn
        seed = 0 if every else config.seed
        recordings = f"{_key(resolved, _OF_RECORDINGS)} {config.train.device} {seed}"
        group = groups.setdefault(_key(resolved, _OF_ARRAYS), {})
        if recordings not in group:
            group[recordings] = make_plan(resolved)
    problems: list[Problem] = []
    for plans in groups.values():
        with noted(problems):
            _extract(list(plans.values()), speaker)
    if problems:
        raise SereError(*dict.fromkeys(problems))


def _key(resolved: Resolved, sections: set[str]) -> str:
    return json.dumps(resolved.config.model_dump(mode="json", include=sections), sort_keys=True)


def _layers(plan: Plan, speaker: Speaker) -> dict[str, int]:
    _prepare([plan], speaker)
    device = choose_device(plan.resolved.config.train.device, plan.resolved.place("train.device"))
    return {choice.encoder: choice.layer for choice in choose_layers(plan, device, speaker)}


def _prepare(plans: Sequence[Plan], speaker: Speaker) -> None:
    """The audio of corpora that are made, each once."""
    corpora = {
        (name, plan.resolved.components[f"corpora.{name}"].params.model_dump_json()): plan for plan in plans for name in plan.corpora
    }
    for (name, _), plan in corpora.items():
        with speaker.bar(f"corpus {name}") as tell:
            build_corpus(plan.resolved, name).prepare(tell)


def _extract(plans: Sequence[Plan], speaker: Speaker) -> None:
    resolved = plans[0].resolved
    config = resolved.config
    device = choose_device(config.train.device, resolved.place("train.device"))
    _prepare(plans, speaker)
    bounds = {name: resolved.components[f"encoders.{name}"] for name in sorted({one for plan in plans for one in plan.paths})}
    contents = plans[0].contents
    encoders = {
        name: (bound.build(BuildContext(id=name)).to(device), bound.full_name, encoder_origin(bound, contents))
        for name, bound in bounds.items()
    }
    dynamics = resolved.components["dynamics"].build(BuildContext(id="dynamics", dim=config.network.dim))
    parts = _parts(plans)
    turn = secrets.randbelow(len(parts))  # several processes share it: each begins elsewhere, and what others have in hand comes last
    total = sum(map(len, parts))
    made_by = _key(resolved, _OF_ARRAYS)

    def name(part: Part) -> str:
        return "\n".join([made_by, *(f"{each.path} {each.start} {each.end} {ids}" for each, ids in part)])

    extracted = before = 0
    problems: list[Problem] = []
    with speaker.bar("features") as tell:
        for part in shared(cache_folder(config.features.cache) / "claims", parts[turn:] + parts[:turn], name):
            try:
                found = extract_all(
                    part,
                    encoders,
                    frozenset(dynamics.contours),
                    config.features,
                    contents,
                    progress=lambda done, _, before=before: tell(before + done, total),  # type: ignore[misc]
                )
                extracted += found.report.extracted
            except SereError as cause:
                if cause.problems[0].code.startswith("X"):
                    raise
                problems += cause.problems
            before += len(part)
    if problems:
        raise SereError(*problems)
    speaker.say(f"features: {total} utterances; {extracted} extracted, {total - extracted} from the cache")


def _parts(plans: Sequence[Plan]) -> list[Part]:
    """All recordings with their encoders, in parts, each without a key twice."""
    wanted: dict[Recording, set[str]] = {}
    for plan in plans:
        for recording, ids in plan.recordings.values():
            wanted.setdefault(recording, set()).update(ids)
    parts: list[dict[str, tuple[Recording, tuple[str, ...]]]] = [{}]
    for recording, encoders in wanted.items():
        if len(parts[-1]) == _AT_A_TIME or recording.key in parts[-1]:
            parts.append({})
        parts[-1][recording.key] = (recording, tuple(sorted(encoders)))
    return [list(part.values()) for part in parts]
