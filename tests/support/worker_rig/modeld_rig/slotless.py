# SPDX-License-Identifier: GPL-3.0-only
"""An engine that forgets to say how many slots it has."""

from collections.abc import Mapping
from typing import Any

from modeld import ModelSpec
from modeld.interfaces import ReportProgress
from modeld_rig.instant import InstantEngine


class SlotlessEngine(InstantEngine):
    def __init__(self) -> None:
        pass

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> "SlotlessEngine":
        return cls()
