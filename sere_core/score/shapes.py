"""The shape of a record's JSON files, which readers check before they use them.

A digest in `done` says that a file is what its writer left; this says that the writer was like sere.  `[x]` is a list of
x, `{str: x}` a mapping of words to x, and a pair (x, default) may be missing; further keys are allowed.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, create_model

Count: Any = Annotated[int, Field(ge=0, lt=2**53)]
Number: Any = Annotated[float, Field(allow_inf_nan=False, ge=-1e300, le=1e300)]
Share: Any = Annotated[float, Field(ge=0, le=1)]
Sha256: Any = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _kind(kind: Any) -> Any:
    """The type that a list or a mapping of one item stands for, or the type itself."""
    if isinstance(kind, dict):
        return types.GenericAlias(dict, (str, _kind(kind[str])))
    return types.GenericAlias(list, _kind(kind[0])) if isinstance(kind, list) else kind


def _shape(**keys: Any) -> Any:
    pairs = {name: each if isinstance(each, tuple) else (each, ...) for name, each in keys.items()}
    fields: dict[str, Any] = {name: (_kind(kind), default) for name, (kind, default) in pairs.items()}
    return create_model("Shape", __config__=ConfigDict(extra="allow", strict=True), **fields)


#: of timing.json, and of `done`
Timing: TypeAdapter[Any] = TypeAdapter(_kind({str: Number}))
Done: TypeAdapter[Any] = TypeAdapter(_shape(sha256={str: Sha256}))

_Component = _shape(
    **dict.fromkeys(("kind", "id", "name", "distribution", "version", "evidence"), str),
    params={str: Any},
    cite=str | None,
    code=(str, ""),
)
Manifest: TypeAdapter[Any] = TypeAdapter(
    _shape(
        **dict.fromkeys(("name", "job", "protocol", "selection"), str),
        evidence=Literal["confirmed", "reconstructed", "ours", "stand-in"],
        versions={str: str},
        components=[_Component],
        digests=_shape(features={str: str}),
        made_of=({str: str}, {}),
        corpora=({str: _shape(utterances=Count, speakers=Count | None, seconds=Number, languages=[str])}, {}),
        parameters=({str: Count}, {}),
        seeds=_shape(run=int),
        machine=_shape(device=str, precision=str),
        notes=_shape(leakage=({str: str}, {}), normalisation=([str], []), warnings=([str], [])),
    )
)

_Fold = _shape(index=Count, labelled={str: Count}, source=[str], target=[str], test=[str], validation=({str: Count}, {}))
Folds: TypeAdapter[Any] = TypeAdapter(
    _shape(
        **dict.fromkeys(("protocol", "source", "target", "label_digest", "sha256"), str),
        classes=[str],
        folds=[_Fold],
        warnings=[str],
        notes=[str],
        uses_target_labels=bool,
        setting=Literal["inductive", "transductive"],
        labelled=Count,
        unlabelled=Count,
    )
)

_Selective = _shape(coverage=Share, uar=Share, n=Count, classes=Count)
_Curve = _shape(coverage=[Share], risk=[Share])
_CONFIDENCE = _shape(**dict.fromkeys(("ece", "brier", "nll", "aurc"), Number), risk_coverage=_Curve, selective=[_Selective])
_SCORES = dict.fromkeys(("uar", "war", "f1", "chance", "majority"), Share) | {
    "n": Count,
    "recall": [Share | None],
    "confusion": [[Count]],
    "confidence": _CONFIDENCE,
    "metrics": {str: Number | None},
}
_Speaker = _shape(speaker=str, gender=(str | None, None), confusion=[[Count]])
_Clusters = _shape(**dict.fromkeys(("silhouette", "knn_purity", "purity_chance"), Number | None), k=Count)
_More: dict[str, Any] = {
    "speakers": ([_Speaker], []),
    "clustering": (_Clusters | None, None),
    "pseudo_accuracy": (Share | None, None),
    "oracle": (_shape(epoch=Count, uar=[Share]) | None, None),
}
_SELECTORS = dict.fromkeys(("entropy", "information_max", "snd"), Number)
Scores: TypeAdapter[Any] = TypeAdapter(
    _shape(
        classes=[str],
        complete=Literal[True],
        scored=(bool, True),
        folds=[_shape(fold=Count, **_SCORES, **_More)],
        openings=[_shape(opener=str, count=Count)],
        mean=({str: Number | None}, {}),
        std=({str: Number | None}, {}),
        values=({str: [Number | None]}, {}),
        pooled=(_shape(**_SCORES) | None, None),
        evidence=(_shape(n=Count, confidence=Share, shares={str: Share}, **_SELECTORS) | None, None),
    )
)
HistoryLine: TypeAdapter[Any] = TypeAdapter(
    _shape(
        fold=Count, stage=str, epoch=Count, losses={str: Number | None}, diagnostics={str: Number | None}, selection=(Number | None, None)
    )
)
