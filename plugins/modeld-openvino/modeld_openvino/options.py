# SPDX-License-Identifier: GPL-3.0-only
"""What can be set for one model on OpenVINO."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final, Literal

from msgspec import Meta

from modeld import Options

BLOCK_TOKENS: Final = {"CPU": 32, "GPU": 16}
"""How many tokens a block of the KV cache holds on each kind of device, in OpenVINO GenAI."""


class OpenVinoOptions(Options, frozen=True, kw_only=True):
    """Options of the OpenVINO backend. ``None`` leaves the choice to what is said there.

    The KV cache has room for ``slots`` requests of ``context`` tokens each, so that none waits for
    the memory of another.
    """

    slots: Annotated[
        int, Meta(ge=1, le=256, description="how many requests run at once in one loaded model")
    ] = 4
    context: Annotated[
        Annotated[int, Meta(ge=32, le=1 << 24)] | None,
        Meta(
            description="most tokens of one request, for each of the slots; the model's trained"
            " length, but no more than 4096, unless set"
        ),
    ] = None
    batch: Annotated[
        int,
        Meta(
            ge=16,
            le=1 << 16,
            description="most tokens in one step; more reads prompts faster, less keeps running"
            " generations more even",
        ),
    ] = 256
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="threads to compute with; as OpenVINO chooses unless set"),
    ] = None
    device: Annotated[
        str,
        Meta(
            pattern=r"^(CPU|GPU(\.\d{1,2})?)$",
            description="`CPU`, `GPU`, or one of several GPUs: `GPU.1`",
        ),
    ] = "CPU"
    cache_type: Annotated[
        Literal["u8", "f16"],
        Meta(description="how the KV cache is kept; `u8` takes half the memory of `f16`"),
    ] = "u8"

    @property
    def block_tokens(self) -> int:
        """Return how many tokens a block of the KV cache holds on the device."""
        return BLOCK_TOKENS[self.device[:3]]

    def has_device(self, devices: Collection[str]) -> bool:
        """Return whether the device is among those that OpenVINO has, by their ids."""
        return self.device in devices or f"{self.device}.0" in devices
