# SPDX-License-Identifier: GPL-3.0-only
from modeld_zoo.gate import GATE

GATE.wait()
