# SPDX-License-Identifier: GPL-3.0-only
"""How the next token is to be chosen, as a request for text says it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from modeld.httpapi.request_body import Strict
from modeld.values import Sampling

MAX_BIASES = 300
MAX_BIAS = 100.0
MAX_BREAKERS = 16
MAX_BREAKER_BYTES = 40
"""The engine reads no longer ones."""
RANDOM_SEED = -1
"""llama.cpp's word for no seed at all."""

MAX_WINDOW = 2**20
"""The most tokens that a penalty can be told to look back at."""


_ID_PATTERN = "^(0|[1-9][0-9]{0,8})$"
_BIAS = {"type": "number", "minimum": -MAX_BIAS, "maximum": MAX_BIAS}


def _banned(bias: Any) -> Any:
    return None if bias is False else bias


def _short(breaker: str) -> str:
    if len(breaker.encode()) > MAX_BREAKER_BYTES:
        raise PydanticCustomError(
            "too_long", "is longer than {limit} bytes", {"limit": MAX_BREAKER_BYTES}
        )
    return breaker


TokenId = Annotated[str, Field(pattern=_ID_PATTERN)]
Bias = Annotated[
    Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)] | None, BeforeValidator(_banned)
]
LogitBias = Annotated[
    dict[TokenId, Bias],
    Field(max_length=MAX_BIASES),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _ID_PATTERN},
            "additionalProperties": {"anyOf": [_BIAS, {"type": "null"}, {"const": False}]},
            "maxProperties": MAX_BIASES,
        }
    ),
]
Breaker = Annotated[str, Field(min_length=1, max_length=MAX_BREAKER_BYTES), AfterValidator(_short)]
Breakers = Annotated[list[Breaker], Field(max_length=MAX_BREAKERS)]


class SamplingFields(Strict):
    """How the next token is chosen; the names and the meanings are llama.cpp's."""

    temperature: float | None = Field(
        None, ge=0, le=5, description="0 always takes the most likely token; higher is more varied"
    )
    dynatemp_range: float | None = Field(
        None,
        ge=0,
        le=5,
        description="how far the temperature moves with how sure the model is; 0: not at all",
    )
    dynatemp_exponent: float | None = Field(
        None, gt=0, le=10, description="how the temperature moves within dynatemp_range"
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="keep the likeliest tokens with this much probability; 1: all"
    )
    top_k: int | None = Field(
        None, ge=0, le=2**31 - 1, description="keep this many of the likeliest tokens; 0: all"
    )
    min_p: float | None = Field(
        None,
        ge=0,
        le=1,
        description="drop tokens less likely than this part of the likeliest one's; 0: none",
    )
    typical_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="keep the most typical tokens with this much probability; 1: all",
    )
    top_n_sigma: float | None = Field(
        None,
        ge=0,
        le=100,
        description="drop tokens whose logit is this many standard deviations below the best;"
        " 0: none",
    )
    xtc_probability: float | None = Field(
        None, ge=0, le=1, description="how often all but the last of the top choices are dropped"
    )
    xtc_threshold: float | None = Field(
        None, ge=0, le=1, description="probability from which xtc counts a token as a top choice"
    )
    mirostat: int | None = Field(
        None, ge=0, le=2, description="1 or 2: that version of Mirostat in place of the filters"
    )
    mirostat_tau: float | None = Field(
        None, ge=0, le=100, description="the surprise, in bits, that Mirostat steers towards"
    )
    mirostat_eta: float | None = Field(None, ge=0, le=1, description="how fast Mirostat steers")
    repeat_penalty: float | None = Field(
        None, ge=0.01, le=10, description="above 1 makes repeating less likely; 1: off"
    )
    repeat_last_n: int | None = Field(
        None,
        ge=-1,
        le=MAX_WINDOW,
        description="how many of the last tokens the penalties look at; 0: none, -1: the context",
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="taken off the logit of every token that was there; 0: off"
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="the same for each time that it was there; 0: off"
    )
    dry_multiplier: float | None = Field(
        None, ge=0, le=10, description="strength of the DRY penalty on repeated passages; 0: off"
    )
    dry_base: float | None = Field(
        None, ge=1, le=10, description="how fast the DRY penalty grows with the passage's length"
    )
    dry_allowed_length: int | None = Field(
        None, ge=1, le=MAX_WINDOW, description="longest passage that may be repeated, in tokens"
    )
    dry_penalty_last_n: int | None = Field(
        None,
        ge=-1,
        le=MAX_WINDOW,
        description="how many of the last tokens DRY looks at; 0: none, -1: the context",
    )
    dry_sequence_breakers: Breakers | None = Field(
        None, description="texts at which a passage ends for DRY"
    )
    logit_bias: LogitBias | None = Field(
        None, description="token ids, as texts, to what is added to their logits; false: never"
    )
    ignore_eos: bool | None = Field(None, description="go on where the model would end the answer")
    seed: int | None = Field(
        None,
        ge=RANDOM_SEED,
        le=2**32 - 2,
        description="makes the answer repeatable; without it, or with -1, random",
    )

    def to_sampling(self) -> Sampling:
        """The same as a value for the service."""
        breakers = self.dry_sequence_breakers
        return Sampling(
            **{name: getattr(self, name) for name in _NUMBERS},
            dry_sequence_breakers=None if breakers is None else tuple(breakers),
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            ignore_eos=bool(self.ignore_eos),
            seed=None if self.seed == RANDOM_SEED else self.seed,
        )


_NUMBERS = tuple(
    name
    for name in SamplingFields.model_fields
    if name not in {"dry_sequence_breakers", "logit_bias", "ignore_eos", "seed"}
)
