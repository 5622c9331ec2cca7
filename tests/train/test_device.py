"""How much memory a run takes."""

from __future__ import annotations

import sys

import pytest
import torch

from sere_core.train.device import forget_peak_memory, peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is that of the whole process")
def test_the_peak_is_that_of_a_run_and_not_of_the_runs_before_it_in_the_process() -> None:
    device = torch.device("cpu")
    forget_peak_memory(device)
    before = peak_memory(device)["peak_mib"]
    torch.ones(300, 2**18)  # 300 MiB, gone at once
    held = peak_memory(device)["peak_mib"]
    forget_peak_memory(device)
    assert held > before + 250 and peak_memory(device)["peak_mib"] < held - 200
