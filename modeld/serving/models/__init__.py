# SPDX-License-Identifier: GPL-3.0-only
"""Which models there are, and with which options."""
