# SPDX-License-Identifier: GPL-3.0-only
"""How tokens are chosen: a request's parameters as OpenVINO GenAI has them."""

from __future__ import annotations

import random
from typing import Any, Final

from modeld import Sampling

TEMPERATURE: Final = 0.8
TOP_P: Final = 0.95
TOP_K: Final = 40
MIN_P: Final = 0.05
"""What is taken where neither the request nor the model's own configuration says anything."""

_ALL_TOKENS: Final = 2**63
_LEAST: Final = 1e-4
"""A temperature below it leaves nothing but the likeliest token, and so does such a ``top_p``. What
single precision takes for zero, OpenVINO refuses."""

_MOST_MIN_P: Final = 0.999_999
"""OpenVINO wants it below 1, where nothing but the likeliest token is left."""

_MOST_SEED: Final = 2**32 - 2


def configure(config: Any, sampling: Sampling) -> None:
    """Set in OpenVINO's configuration of one request what its sampling says.

    ``config`` has the model's own values, which come from its ``generation_config.json``.
    """
    if not config.do_sample:
        config.temperature, config.top_p = TEMPERATURE, TOP_P
        config.top_k, config.min_p = TOP_K, MIN_P
    config.do_sample = sampling.temperature is None or sampling.temperature >= _LEAST
    if sampling.temperature is not None and config.do_sample:
        config.temperature = sampling.temperature
    if sampling.top_p is not None:
        config.top_p = max(sampling.top_p, _LEAST)
    if sampling.top_k is not None:
        config.top_k = sampling.top_k or _ALL_TOKENS
    if sampling.min_p is not None:
        config.min_p = min(sampling.min_p, _MOST_MIN_P)
    if sampling.repeat_penalty is not None:
        config.repetition_penalty = sampling.repeat_penalty
    if sampling.presence_penalty is not None:
        config.presence_penalty = sampling.presence_penalty
    if sampling.frequency_penalty is not None:
        config.frequency_penalty = sampling.frequency_penalty
    config.ignore_eos = sampling.ignore_eos
    seed = sampling.seed
    config.rng_seed = random.randint(0, _MOST_SEED) if seed is None else seed  # noqa: S311  (no secret)
