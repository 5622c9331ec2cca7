"""The proof of a comparison's folder, kept beside the records and made again when one of them changes."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from sere_core.compare.places import read_json, record_of, write_json
from sere_core.compare.plan import ComparePlan
from sere_core.compare.proof import Proof, prove
from sere_registry.errors import Problem, SereError


def proof_of(folder: Path, plan: ComparePlan) -> Proof:
    """Prove that the finished records may stand in one table, or take the proof of last time if nothing has changed.

    A record that cannot be read is left out; reading the results says so.

    Raises:
        SereError: X704 or X705 if the proof cannot be kept.
    """
    done = {job: data for job in dict.fromkeys(job.job for job in plan.jobs) if (data := _done(folder, job))}
    key = _key(folder, done)
    kept = read_json(folder / "proof.json")
    if isinstance(kept, dict) and kept.get("of") == key:
        return Proof(tuple(kept["allowed"]), tuple(Problem("T506", one["message"], one["hint"]) for one in kept["refused"]))
    from sere_core.compare.evidence import read_evidence

    records = {}
    for job in done:
        try:
            records[job] = read_evidence(record_of(folder, job))
        except SereError:
            continue
    proof = prove(plan, records)
    refused = [{"message": problem.message, "hint": problem.hint} for problem in proof.refused]
    write_json(folder / "proof.json", {"of": key, **asdict(Proof(proof.allowed, ())), "refused": refused})
    return proof


def _done(folder: Path, job: str) -> bytes:
    """What vouches for a record: the digests of its files."""
    try:
        return (record_of(folder, job) / "done").read_bytes()
    except OSError:
        return b""


def _key(folder: Path, done: dict[str, bytes]) -> str:
    digest = hashlib.sha256((folder / "plan.json").read_bytes())
    for job, data in done.items():
        digest.update(job.encode() + data)
    return digest.hexdigest()
