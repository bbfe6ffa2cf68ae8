# SPDX-License-Identifier: GPL-3.0-only
"""OpenVINO as the worker imports it: without its telemetry.

The package ``openvino`` reports each import to an address outside, through the package
``openvino_telemetry``, and writes files into the home folder for it. Where that package cannot be
imported, it does neither.
"""

from __future__ import annotations

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail

import openvino  # type: ignore[import-untyped]  # noqa: E402
import openvino_genai as genai  # type: ignore[import-untyped]  # noqa: E402

__all__ = ["genai", "openvino"]
