# SPDX-License-Identifier: GPL-3.0-only
"""The same environment as the commands have: no settings from outside, a rig, two models."""

from tests.cli.conftest import models, own_log, quiet_environment, rig

__all__ = ["models", "own_log", "quiet_environment", "rig"]
