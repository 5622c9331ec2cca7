"""The proof of a comparison's folder, made again when the plan or a record changes."""

from __future__ import annotations

from pathlib import Path

from sere_core.compare.kept import keep, kept
from sere_core.compare.places import is_done, read_json, record_of
from sere_core.compare.plan import ComparePlan
from sere_core.compare.proof import Proof, prove
from sere_registry.errors import Problem, SereError

PROOF = "proof.json"


def proof_of(folder: Path, plan: ComparePlan, state: str) -> Proof:
    """Prove that the finished records may stand in one table, or take the proof of last time if nothing has changed.

    A record that cannot be read is left out; reading the results says so.

    Args:
        folder: the comparison's.
        plan: of the comparison.
        state: of plan and records, see `sere_core.compare.kept`.

    Raises:
        SereError: X704 or X705 if the proof cannot be kept.
    """
    found = kept(folder, PROOF, state)
    if found is not None:
        return Proof(tuple(found["allowed"]), tuple(Problem("T506", one["message"], one["hint"]) for one in found["refused"]))
    from sere_core.compare.evidence import read_evidence

    records = {}
    for job in dict.fromkeys(job.job for job in plan.jobs):
        if is_done(folder, job):
            try:
                records[job] = read_evidence(record_of(folder, job))
            except SereError:
                continue
    proof = prove(plan, records)
    refused = [{"message": problem.message, "hint": problem.hint} for problem in proof.refused]
    keep(folder, PROOF, state, {"allowed": list(proof.allowed), "refused": refused})
    return proof


def allowed_lines(folder: Path) -> tuple[str, ...]:
    """The differences that the last proof found and that had been allowed; for readers of the folder."""
    found = read_json(folder / PROOF)
    try:
        return tuple(str(line) for line in found["what"]["allowed"])
    except (KeyError, TypeError):
        return ()
