# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench``: a client that keeps time, its figures and their pictures."""
