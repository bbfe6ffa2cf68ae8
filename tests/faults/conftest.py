# SPDX-License-Identifier: GPL-3.0-only
"""The models that faults happen to; the same as in the black-box tests."""

from tests.blackbox.conftest import rig_models

__all__ = ["rig_models"]
