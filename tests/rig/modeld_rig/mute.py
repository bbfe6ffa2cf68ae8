# SPDX-License-Identifier: GPL-3.0-only
"""Importing this closes the worker's channel, as a runtime that closes what it does not know."""

import os
import time
from pathlib import Path

for _entry in list(Path("/proc/self/fd").iterdir()):
    try:
        _is_channel = "socket:" in str(_entry.readlink())
    except OSError:
        continue
    if _is_channel:
        os.dup2(0, int(_entry.name))
time.sleep(3600)
