"""The kit over every method: as `test_contract`, which has the other kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.test_contract import Case, conforms, marked


@pytest.mark.parametrize("case", marked(methods=True), ids=str)
def test_it_passes_the_kit(case: Case, tmp_path: Path) -> None:
    conforms(case, tmp_path)
