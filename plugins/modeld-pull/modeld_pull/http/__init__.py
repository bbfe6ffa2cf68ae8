# SPDX-License-Identifier: GPL-3.0-only
"""How a source is reached: where to, by which client, and when again."""
