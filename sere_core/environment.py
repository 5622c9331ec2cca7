"""What the environment lacks: folders for the caches of libraries, a working directory."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sere_core.streams import open_streams
from sere_registry.errors import SereError, error
from sere_registry.files import cache_folder, expanded

#: variable -> its folder: caches of libraries that stop, or warn at every start, where there is no place for them
_CACHES = {
    "NUMBA_CACHE_DIR": "numba",
    "MPLCONFIGDIR": "matplotlib",
    "HF_HOME": "huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}


def prepare() -> None:
    """Before a library is imported: give those without a writable home a folder below the cache of sere, or a temporary one.

    A backend of matplotlib that cannot be imported, such as that of the notebook which started this process, is forgotten.
    """
    home = expanded("~")
    if not any(os.access(path, os.W_OK) for path in (home / ".cache", home)):
        folder = _writable()
        if folder is not None:
            for variable, name in _CACHES.items():
                os.environ.setdefault(variable, str(folder / name))
    if not os.environ.get("SOURCE_DATE_EPOCH", "0").isdecimal():  # matplotlib and scikit-learn stop at it
        del os.environ["SOURCE_DATE_EPOCH"]
    module = os.environ.get("MPLBACKEND", "").removeprefix("module://").partition(".")[0]
    with contextlib.suppress(ImportError, ValueError):
        if "matplotlib" not in sys.modules and module and os.environ["MPLBACKEND"] != module and find_spec(module) is None:
            del os.environ["MPLBACKEND"]


def _writable() -> Path | None:
    for folder in (_cache, tempfile.gettempdir):
        with contextlib.suppress(SereError, OSError):
            path = Path(folder()) / f"libraries-{os.getuid()}"
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK):
                return path
    return None


def _cache() -> Path:
    return cache_folder()


def prepare_command() -> None:
    """`prepare`, for a process of our own: pictures go to files, and whatever is printed can be printed.

    Raises:
        SereError: X704 if the working directory is gone.
    """
    # pydantic would look through all distributions for plugins of its own, and stop at one that cannot be read
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    open_streams()
    with contextlib.suppress(OSError, ValueError):  # a stderr that is no file
        faulthandler.enable()  # a crash in a library's C code says in which line
    try:
        Path.cwd()
    except OSError as cause:
        raise error("X704", f"the working directory is not there any more: {cause.strerror}", "cd to one that is") from cause
    prepare()
    os.environ["MPLBACKEND"] = "Agg"
