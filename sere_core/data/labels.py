"""The target's labels: not kept while plugins run, and read again once there are predictions to score.

Planning uses the labels to find shared classes and to stratify folds, and keeps a digest of them.  They die with the
frame of the function that lists the corpora.  The scorer lists the target corpus again, after the posteriors are on the
disk, and checks the digest, so that what is scored is what was planned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sere_core.data.plan import Fold, TaskPlan
from sere_registry.errors import error
from sere_registry.utterances import Utterance


def label_digest(utterances: Sequence[Utterance]) -> str:
    """SHA-256 over which utterance carries which emotion, or none, in no order.

    >>> label_digest([])[:8]
    'e3b0c442'
    """
    lines = sorted(f"{each.recording.key}\0{each.emotion}\n" for each in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def labels_of(fold: Fold, plan: TaskPlan, target: Sequence[Utterance]) -> dict[int, int]:
    """The labels of a fold's test utterances: position in `fold.test` -> position in the plan's classes; the unlabelled are left out.

    Args:
        fold: whose `test`.
        plan: of the task.
        target: the target corpus, listed anew.

    Raises:
        SereError: T505 if its labels are not those that the task was planned with.
    """
    taken = [each for each in target if each.emotion in plan.classes or not each.emotion]
    if label_digest(taken) != plan.label_digest:
        what = f"the labels of corpus '{plan.target}' have changed since the run was planned"
        raise error("T505", what, "--fresh trains and scores with what is there now")
    known = {each.recording.key: plan.classes.index(each.emotion) for each in taken if each.emotion}
    return {row: known[recording.key] for row, recording in enumerate(fold.test) if recording.key in known}
