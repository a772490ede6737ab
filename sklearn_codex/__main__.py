"""Run the command line as ``python -m sklearn_codex``."""

import sys

from sklearn_codex.cli import main

if __name__ == "__main__":
    sys.exit(main())
