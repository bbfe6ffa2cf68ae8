# SPDX-License-Identifier: GPL-3.0-only
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # so that the modules beside this one are found
