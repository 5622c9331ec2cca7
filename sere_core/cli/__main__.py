"""`python -m sere_core.cli` is `sere`."""

import sys

from sere_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
