# SPDX-License-Identifier: GPL-3.0-only
"""How long llama.cpp's threads spin before they sleep. Worker processes import it first.

Where another program takes a core from one of its threads, the others spin at the next barrier
until the scheduler brings it back: two threads on two busy cores were seen at 4 tokens/s instead of
170. OpenMP reads the limit when it is loaded. Measured with SmolLM2 on two cores, one sequence,
tokens/s idle and beside a busy program: 20000 spins 166 and 12, 1000 spins 152 and 34, 100 spins 63
and 82. So 1000 costs little and loses least.
"""

from __future__ import annotations

import os

SPINS = "1000"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
