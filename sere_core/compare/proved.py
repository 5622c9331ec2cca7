"""The proof of a comparison's folder, made again when the plan or a record changes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.compare.kept import keep, kept
from sere_core.compare.places import record_of
from sere_core.compare.plan import ComparePlan
from sere_core.compare.proof import Proof, prove
from sere_registry.errors import Problem, SereError

if TYPE_CHECKING:
    from sere_core.compare.evidence import Conditions

PROOF = "proof.json"


def proof_of(folder: Path, plan: ComparePlan, state: str, jobs: Collection[str], conditions: Conditions | None = None) -> Proof:
    """Prove that these finished records may stand in one table, or take the proof of last time if nothing has changed.

    A folder that cannot be written keeps no proof.

    Args:
        folder: the comparison's.
        plan: of the comparison.
        state: of plan and records, see `sere_core.compare.kept`.
        jobs: the records that are to stand in the table.
        conditions: of records that have been read already.

    Raises:
        SereError: T505 if a record does not tell its conditions.
    """
    found = kept(folder, PROOF, state)
    if found is not None:
        return Proof(tuple(found["allowed"]), tuple(Problem("T506", one["message"], one["hint"]) for one in found["refused"]))
    from sere_core.compare.evidence import Conditions

    known = conditions or Conditions()
    proof = prove(plan, {job: known.of(record_of(folder, job)) for job in jobs})
    refused = [{"message": problem.message, "hint": problem.hint} for problem in proof.refused]
    with contextlib.suppress(SereError):
        keep(folder, PROOF, state, {"allowed": list(proof.allowed), "refused": refused})
    return proof
