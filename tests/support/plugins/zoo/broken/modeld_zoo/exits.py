# SPDX-License-Identifier: GPL-3.0-only
import sys

sys.exit(3)
