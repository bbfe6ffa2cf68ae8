# SPDX-License-Identifier: GPL-3.0-only
"""Which models leave memory, for another one, for other programs, or because nobody uses them."""
