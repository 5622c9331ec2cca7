"""The conformance kit: is this component what its kind promises?  For plugin authors; pytest is not needed.

    from sere_core.testing import check_component

    def test_my_loss():
        check_component("loss", "xyz.focal")

Each check has a stable id (`loss.padding`), and a component that is meant to fail one says so and why:
`expected_failures={"loss.permutation": "its terms depend on the order of a sequence"}`.
"""

from __future__ import annotations

from sere_core.testing.harness import check_component, checks, run_checks
from sere_core.testing.subject import Check, NotRun, Result, Subject

__all__ = ["Check", "NotRun", "Result", "Subject", "check_component", "checks", "run_checks"]
