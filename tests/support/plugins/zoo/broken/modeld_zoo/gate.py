# SPDX-License-Identifier: GPL-3.0-only
"""What holds up the plugins that hang, until the test lets them go."""

import threading

GATE = threading.Event()
