# SPDX-License-Identifier: GPL-3.0-only
"""What a request tells the rig to do."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from modeld import GenerateRequest, Token
from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.requests import (
    AnyRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import AnyUnaryResponse, LikelyToken, ReasoningToken, TokenLogprobs
from modeld_rig import responses
from modeld_rig.responses import BEGIN


class Script:
    """One running request. The text that is a JSON object is the plan."""

    def __init__(self, work: AnyRequest) -> None:
        if isinstance(work, DetokenizeRequest) and max(work.tokens, default=0) > BEGIN:
            raise InvalidRequestError(f"there are {BEGIN + 1} tokens", field="tokens")
        text = text_of(work)
        plan: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        if plan.get("refuse"):
            raise InvalidRequestError(plan["refuse"], field="prompt")
        if plan.get("quota"):
            import_module("modeld_rig.quota").exceed()
        if plan.get("unsupported"):
            raise NotSupportedError("the rig was told not to")
        self.unary = None if isinstance(work, GenerateRequest) else work
        self.words = [] if self.unary else words_of(text, plan)
        self.logprobs = None
        if isinstance(work, GenerateRequest):
            self.words = chosen(self.words, work.sampling.own)[: work.max_tokens]
            self.logprobs = work.logprobs
        self.gate = plan.get("gate")
        self.gate_at = plan.get("gate_at", 0)
        self.fault = plan.get("fault", "")
        self.fault_at = plan.get("at", 0)
        self.delay_s = plan.get("delay_s", 0.0)
        self.burst = plan.get("burst", 1)
        self.nonce = plan.get("nonce", "")
        self.fault_on_submit = plan.get("submit", "")
        self.stray = plan.get("response", "")
        self.vectors = plan.get("vectors", 0)
        self.dimensions = plan.get("dimensions", 4)
        self.thinks = plan.get("thinks", 0)
        self.position = 0

    @property
    def is_shut(self) -> bool:
        """Whether it waits for its gate."""
        return (
            self.gate is not None and self.position >= self.gate_at and not Path(self.gate).exists()
        )

    @property
    def is_stray(self) -> bool:
        """Whether something of the wrong kind is due."""
        return bool(self.stray) and self.position == self.fault_at

    def token(self) -> Token | ReasoningToken:
        """Return the next word; the first ``thinks`` of them are reasoning."""
        word = self.words[self.position]
        self.position += 1
        if self.position <= self.thinks:
            return ReasoningToken(text=word)
        if self.logprobs is None:
            return Token(text=word)
        return Token(text=word, logprobs=(logprobs_of(self.position, word, self.logprobs),))

    def response(self) -> AnyUnaryResponse:
        """Return the response to the unary request."""
        assert self.unary is not None
        if self.vectors:
            return responses.many(self.vectors, self.dimensions)
        return responses.to(self.unary)


def text_of(work: AnyRequest) -> str:
    """Return the text in which a plan may be."""
    match work:
        case GenerateRequest():
            return work.prompt or " ".join(m.text for m in work.messages or ())
        case EmbedRequest():
            return next((each for each in work.inputs[:1] if isinstance(each, str)), "")
        case RerankRequest():
            return work.query
        case TokenizeRequest():
            return work.text
        case DetokenizeRequest():
            return bytes(token for token in work.tokens if token < BEGIN).decode(errors="replace")
        case ApplyTemplateRequest():
            return work.messages[0].text


def words_of(text: str, plan: dict[str, Any]) -> list[str]:
    """Return what is answered: as many numbered words as planned, or the words of the text."""
    if plan:
        return [f"t{number} " for number in range(plan.get("tokens", 1))]
    return [word + " " for word in text.split()]


def chosen(words: list[str], own: Mapping[str, Any]) -> list[str]:
    """Return the words as the rig's own sampling parameters want them."""
    written = [getattr(word, own.get("rig_case", "__str__"))() for word in words]
    return [word for word in written for _ in range(own.get("rig_repeats", 1))]


def logprobs_of(position: int, word: str, count: int) -> TokenLogprobs:
    """Return the same for the same word each time; the chosen token is the likeliest."""
    likely = tuple(
        LikelyToken(id=position + rank, piece=word.encode(), logprob=-0.5 * (rank + 1))
        for rank in range(max(count, 1))
    )
    return TokenLogprobs(chosen=likely[0], top=likely[:count])
