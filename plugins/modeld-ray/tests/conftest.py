# SPDX-License-Identifier: GPL-3.0-only
"""What decides in a cluster, without one and without Ray."""

from __future__ import annotations

import sys
from pathlib import Path

# So that tests find the modules of support/.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from tests.cli.conftest import own_log, quiet_environment
from tests.support.everywhere import *

__all__ = ["own_log", "quiet_environment"]
