# SPDX-License-Identifier: GPL-3.0-only
"""What a request says: its body, its query and what it accepts."""
