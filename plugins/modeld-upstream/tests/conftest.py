# SPDX-License-Identifier: GPL-3.0-only
"""The modules of support/."""

from __future__ import annotations

import sys
from pathlib import Path

# So that tests find the modules of support/.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from tests.support.everywhere import *
