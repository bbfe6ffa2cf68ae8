# SPDX-License-Identifier: GPL-3.0-only
"""``python scripts/testctl``: installs what the suites need, and runs them."""

import sys
from pathlib import Path

# Python puts this folder on the path, where the package itself is not found.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from testctl.cli import main  # noqa: E402  (only now it is found)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
