# SPDX-License-Identifier: GPL-3.0-only
"""What ``bootstrap.py`` does: environments, models, wheels, and the tests that need them."""
