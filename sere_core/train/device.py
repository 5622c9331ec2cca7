"""Which device a run computes on, in which precision, and how much memory it takes."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from sere_registry import Place, error

#: what Linux tells of this process
_PROCESS = Path("/proc/self")


def choose_device(wanted: str, place: Place = Place()) -> torch.device:  # noqa: B008  (immutable)
    """The device of the config: `auto` is the first GPU, or the CPU where there is none.

    Raises:
        SereError: X702 if it does not exist here.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as cause:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        hint = "available here: " + ", ".join([*there, "mps"] if torch.backends.mps.is_available() else there)
        raise error("X702", f"the device '{wanted}' is not available: {str(cause).splitlines()[0]}", hint, place) from cause
    return device


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch computes with this many threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def computes_in(wanted: str, device: torch.device) -> str:
    """The precision of the forward passes: `auto` is bfloat16 on a GPU that has it, else float32."""
    if wanted == "auto":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return wanted


def describe(device: torch.device) -> str:
    """What was computed on, for the record."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def give_back_memory() -> None:
    """Let the system have what was freed: glibc keeps it, gigabytes of it where batches of many lengths pass through trained layers."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` count from now on, where the system can (Linux): a process of a comparison makes many runs."""
    give_back_memory()
    with contextlib.suppress(OSError):
        _PROCESS.joinpath("clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory that this process held since `forget_peak_memory`, in MiB; on a GPU also the most of the GPU's."""
    try:
        (most,) = (int(line.split()[1]) for line in _PROCESS.joinpath("status").read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, ValueError):  # no Linux: since the process began
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**10 if sys.platform == "darwin" else 1)
    found = {"peak_mib": most / 2**10}
    if device.type == "cuda":
        found["peak_gpu_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found
