# SPDX-License-Identifier: GPL-3.0-only
"""What holds for all tests."""

from hypothesis import settings

# A busy machine makes any example slow; the time limit of a whole test is pytest's.
settings.register_profile("modeld", deadline=None)
settings.load_profile("modeld")
