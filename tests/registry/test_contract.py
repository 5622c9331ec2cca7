"""What `sere_registry` offers plugin authors."""

from __future__ import annotations

import subprocess
import sys

import sere_registry


def test_every_public_name_is_there_and_importing_them_loads_neither_torch_nor_numpy() -> None:
    assert all(hasattr(sere_registry, name) for name in sere_registry.__all__)
    code = "import sys, sere_registry; sys.exit(len({'torch', 'numpy', 'pluggy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
