# SPDX-License-Identifier: GPL-3.0-only
"""What llama.cpp knows about choosing tokens beyond what every engine does."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import BackendSampling

MAX_BREAKER_BYTES = 40
"""The longest of ``dry_sequence_breakers`` in UTF-8; llama.cpp would cut off the rest."""

Share = Annotated[float, Meta(ge=0, le=1)]
TokenWindow = Annotated[int, Meta(ge=-1, le=2**20)]
Breakers = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=MAX_BREAKER_BYTES)], ...],
    Meta(max_length=16),
]


class LlamaSampling(BackendSampling, frozen=True, kw_only=True):
    """The names are llama.cpp's, and so are the meanings.

    Raises:
        ValueError: a text in ``dry_sequence_breakers`` is none that llama.cpp can look for.
    """

    dynatemp_range: Annotated[
        Annotated[float, Meta(ge=0, le=5)] | None,
        Meta(description="how far the temperature moves with how sure the model is; 0: not at all"),
    ] = None
    dynatemp_exponent: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | None,
        Meta(description="how the temperature moves within dynatemp_range"),
    ] = None
    typical_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="keep the most typical tokens with this much probability; 1: all"),
    ] = None
    top_n_sigma: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(
            description="drop tokens whose logit is this many standard deviations below the best;"
            " 0: none"
        ),
    ] = None
    xtc_probability: Annotated[
        Share | None,
        Meta(description="how often all but the last of the top choices are dropped"),
    ] = None
    xtc_threshold: Annotated[
        Share | None,
        Meta(description="probability from which xtc counts a token as a top choice"),
    ] = None
    mirostat: Annotated[
        Annotated[int, Meta(ge=0, le=2)] | None,
        Meta(description="1 or 2: that version of Mirostat in place of the filters"),
    ] = None
    mirostat_tau: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(description="the surprise, in bits, that Mirostat steers towards"),
    ] = None
    mirostat_eta: Annotated[Share | None, Meta(description="how fast Mirostat steers")] = None
    repeat_last_n: Annotated[
        TokenWindow | None,
        Meta(
            description="how many of the last tokens the penalties look at; 0: none,"
            " -1: the context"
        ),
    ] = None
    dry_multiplier: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | None,
        Meta(description="strength of the DRY penalty on repeated passages; 0: off"),
    ] = None
    dry_base: Annotated[
        Annotated[float, Meta(ge=1, le=10)] | None,
        Meta(description="how fast the DRY penalty grows with the passage's length"),
    ] = None
    dry_allowed_length: Annotated[
        Annotated[int, Meta(ge=1, le=2**20)] | None,
        Meta(description="longest passage that may be repeated, in tokens"),
    ] = None
    dry_penalty_last_n: Annotated[
        TokenWindow | None,
        Meta(description="how many of the last tokens DRY looks at; 0: none, -1: the context"),
    ] = None
    dry_sequence_breakers: Annotated[
        Breakers | None, Meta(description="texts at which a passage ends for DRY")
    ] = None

    def __post_init__(self) -> None:
        """Check what the types cannot say of the breakers."""
        for number, text in enumerate(self.dry_sequence_breakers or ()):
            if fault := _fault_of_breaker(text):
                raise ValueError(f"dry_sequence_breakers[{number}] {fault}")


def _fault_of_breaker(text: str) -> str | None:
    size = len(text.encode(errors="replace"))
    if not 1 <= size <= MAX_BREAKER_BYTES:
        return f"has {size} bytes; it must have from 1 to {MAX_BREAKER_BYTES}"
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "has a NUL or half of a surrogate pair; leave it out"
    return None
