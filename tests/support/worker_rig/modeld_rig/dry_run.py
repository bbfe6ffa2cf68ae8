# SPDX-License-Identifier: GPL-3.0-only
"""Functions that a host is asked to call in a worker."""

from collections.abc import Mapping
from typing import Any

from modeld import ModelSpec
from modeld_rig.engine import RigEngine


def measure(spec: ModelSpec, options: Mapping[str, Any]) -> object:
    """Return what the options say was measured."""
    rig = RigEngine(options)
    rig.note(f"measure {spec.id}")
    rig.wait(options["measure_gate"])
    rig.commit(options["measure_fault"])
    return {"weights_bytes": options["measured_mb"] << 20}
