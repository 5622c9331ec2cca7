"""Encoded batches drawn at random, with garbage in their padding: those of the conformance kit."""

from __future__ import annotations

from sere_core.testing.batches import CLASSES, DIM, SHAPES, Shape, encoded, leaves, streams

__all__ = ["CLASSES", "DIM", "SHAPES", "Shape", "encoded", "leaves", "streams"]
