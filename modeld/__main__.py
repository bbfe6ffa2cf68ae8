# SPDX-License-Identifier: GPL-3.0-only
"""``python -m modeld`` is the command ``modeld``."""

from __future__ import annotations

import sys

from modeld.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
