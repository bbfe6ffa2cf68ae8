# SPDX-License-Identifier: GPL-3.0-only
"""Where this build of OpenVINO can compute. Runs in a worker: it loads the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeld import ModelSpec
from modeld.values import JsonValue
from modeld_openvino.runtime import genai, openvino


def read(_spec: ModelSpec, _options: Mapping[str, object]) -> JsonValue:
    """Return the version, and each device's name. No model is loaded."""
    core = openvino.Core()
    names: dict[str, JsonValue] = {
        device: str(core.get_property(device, "FULL_DEVICE_NAME")) for device in available()
    }
    return {"version": str(genai.__version__), "devices": names}


def available() -> Sequence[str]:
    """Return the ids of the devices."""
    devices: list[str] = openvino.Core().available_devices
    return devices
