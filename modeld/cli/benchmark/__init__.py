# SPDX-License-Identifier: GPL-3.0-only
"""What ``modeld bench`` is made of: a client that keeps time, its figures and their pictures."""
