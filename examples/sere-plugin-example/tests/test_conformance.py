"""The components keep what their kinds promise."""

from __future__ import annotations

import pytest

from sere_core.testing import check_component


@pytest.mark.parametrize(("kind", "name"), [("loss", "example.mmd"), ("resonance", "example.chamfer"), ("encoder", "example.envelope")])
def test_it_conforms(kind: str, name: str) -> None:
    check_component(kind, name)
