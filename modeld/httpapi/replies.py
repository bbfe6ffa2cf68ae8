# SPDX-License-Identifier: GPL-3.0-only
"""What the service replies to a question: whether it can be sent, and as what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from typing import assert_never

from modeld.errors import InternalError
from modeld.httpapi.question_bodies import PromptUsage
from modeld.questions import Embeddings, Ranking, Reply, Text, Tokens
from modeld.values import Usage


def check_count(answered: Sized, asked: Sized) -> None:
    """Refuse a reply that is not about each part of the question.

    Raises:
        InternalError: one has more parts than the other.
    """
    if len(answered) != len(asked):
        raise InternalError(f"the service has answered {len(answered)} of {len(asked)} parts")


def check_finite(numbers: Iterable[float]) -> None:
    """Refuse numbers that JSON cannot say.

    Raises:
        InternalError: one of them is infinite or no number.
    """
    if not all(map(math.isfinite, numbers)):
        raise InternalError("the service has answered with a number that is not finite")


def prompt_usage(usage: Usage) -> PromptUsage:
    """What a question cost, as its answer has it."""
    return PromptUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens)


def text_or_bytes(piece: bytes) -> str | list[int]:
    """What a token stands for: a text, or bytes where they are none."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def numbers_of(reply: Reply) -> Mapping[str, object]:
    """How much was asked and answered, for the log."""
    match reply:
        case Embeddings(vectors=vectors, usage=usage):
            return {"vectors": len(vectors), "prompt_tokens": usage.prompt_tokens}
        case Ranking(scores=scores, usage=usage):
            return {"scores": len(scores), "prompt_tokens": usage.prompt_tokens}
        case Tokens(ids=ids):
            return {"tokens": len(ids)}
        case Text(text=text):
            return {"characters": len(text)}
        case _:
            assert_never(reply)
