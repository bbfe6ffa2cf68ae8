# SPDX-License-Identifier: GPL-3.0-only
"""``python -m tests.testctl``: installs what the suites need, and runs them."""

import sys

from tests.testctl.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
