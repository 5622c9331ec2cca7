"""Settings of the process, of torch and of numpy that a run depends on, and that a component may change by accident.

Nothing here imports torch or numpy: what is not loaded cannot have been changed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: the variables of the environment that runs depend on
VARIABLES = ("OMP_", "MKL_", "CUDA_", "CUBLAS_", "PYTORCH_", "TORCH_", "SERE_", "HF_", "PYTHON", "LC_", "HOME", "PATH", "TMPDIR")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEVICES = ("cpu", "cuda")
CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")
FOUND = object()


@dataclass(frozen=True, eq=False)
class Setting:
    """One of them.

    Args:
        name: for messages.
        read: its value.
        write: sets it.
        first: what the engine begins with; `FOUND`: with what it finds.
        imports: do imports of libraries change it, which is put back without a word?
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    first: object = FOUND
    imports: bool = False


def read() -> dict[Setting, Any]:
    """All of them as they are now: those of the process only in its main thread."""
    found = _of_process() if threading.current_thread() is threading.main_thread() else ()
    return {each: each.read() for each in (*found, *_of_libraries("torch.optim" in sys.modules, "numpy" in sys.modules))}


def settle() -> None:
    """Give torch's settings the values that torch begins with, where a program or a notebook has set others."""
    for setting, value in read().items():
        if setting.first not in (FOUND, value):
            setting.write(setting.first)


@functools.cache
def _of_process() -> tuple[Setting, ...]:
    def folder() -> str:
        try:
            return os.getcwd()
        except OSError:
            return ""

    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}

    def restore(values: Mapping[str, str]) -> None:
        for name in environment().keys() - values.keys():
            del os.environ[name]
        os.environ.update(values)

    def streams(values: Iterable[Any]) -> None:
        sys.stdin, sys.stdout, sys.stderr = values

    def handle(values: Iterable[Any]) -> None:
        for number, handler in zip(SIGNALS, values, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)

    return (
        Setting("the working directory", folder, lambda value: os.chdir(value or ".")),
        Setting("variables of the environment", environment, restore, imports=True),
        Setting("sys.stdin, sys.stdout or sys.stderr", lambda: (sys.stdin, sys.stdout, sys.stderr), streams),
        Setting("signal handlers", lambda: tuple(map(signal.getsignal, SIGNALS)), handle),
        Setting("the filters of warnings", lambda: list(warnings.filters), _filter, imports=True),
    )


def _filter(values: list[Any]) -> None:
    warnings.resetwarnings()  # which also forgets what it had decided by the old ones
    warnings.filters[:] = values  # type: ignore[index]


@functools.cache
def _of_libraries(with_torch: bool, with_numpy: bool) -> tuple[Setting, ...]:
    found: list[Setting] = []
    if with_numpy:
        numpy: Any = sys.modules["numpy"]
        found.append(Setting("numpy's handling of errors", numpy.geterr, lambda value: numpy.seterr(**value)))
    if not with_torch:
        return tuple(found)
    torch: Any = sys.modules["torch"]
    cudnn = torch.backends.cudnn

    def autocast() -> tuple[tuple[bool, Any], ...]:
        return tuple((torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in DEVICES)

    def set_autocast(values: Iterable[tuple[bool, Any]]) -> None:
        for device, (on, dtype) in zip(DEVICES, values, strict=True):
            torch.set_autocast_enabled(device, on)
            torch.set_autocast_dtype(device, dtype)

    def device() -> object:
        return getattr(sys.modules.get("torch.utils._device"), "CURRENT_DEVICE", None)

    def deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    def set_deterministic(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def flags() -> tuple[bool, ...]:
        return tuple(getattr(cudnn, name) for name in CUDNN)

    def set_flags(values: Iterable[bool]) -> None:
        for name, value in zip(CUDNN, values, strict=True):
            setattr(cudnn, name, value)

    precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    return (
        *found,
        Setting("grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled, True),
        Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        Setting("the default device", device, torch.set_default_device, None),
        Setting("autocast", autocast, set_autocast, tuple((False, dtype) for _, dtype in autocast())),
        Setting("the number of threads", torch.get_num_threads, torch.set_num_threads),
        Setting("deterministic algorithms", deterministic, set_deterministic, (False, False)),
        Setting("cudnn's flags", flags, set_flags, (True, False, False, True)),
        Setting("the precision of products of matrices", *precision, "highest"),
        Setting("anomaly mode", torch.is_anomaly_enabled, torch.set_anomaly_enabled, False),
    )
