# SPDX-License-Identifier: GPL-3.0-only
"""What a request or a question tells the rig to do."""

import json
from pathlib import Path
from typing import Any

from modeld import GenerateRequest, Token
from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    EmbedQuestion,
    Reply,
    RerankQuestion,
    TokenizeQuestion,
)
from modeld.values import LikelyToken, TokenLogprobs
from modeld_rig import replies
from modeld_rig.replies import BEGIN


class Script:
    """One running request or question. The text that is a JSON object is the plan."""

    def __init__(self, work: GenerateRequest | AnyQuestion) -> None:
        if isinstance(work, DetokenizeQuestion) and max(work.tokens, default=0) > BEGIN:
            raise InvalidRequestError(f"there are {BEGIN + 1} tokens", field="tokens")
        text = text_of(work)
        plan: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        if plan.get("refuse"):
            raise InvalidRequestError(plan["refuse"], field="prompt")
        if plan.get("unsupported"):
            raise NotSupportedError("the rig was told not to")
        self.question = None if isinstance(work, GenerateRequest) else work
        self.words = [] if self.question else words_of(text, plan)
        self.logprobs = None
        if isinstance(work, GenerateRequest):
            self.words = self.words[: work.max_tokens]
            self.logprobs = work.logprobs
        self.gate = plan.get("gate")
        self.gate_at = plan.get("gate_at", 0)
        self.fault = plan.get("fault", "")
        self.fault_at = plan.get("at", 0)
        self.delay_s = plan.get("delay_s", 0.0)
        self.burst = plan.get("burst", 1)
        self.nonce = plan.get("nonce", "")
        self.fault_on_submit = plan.get("submit", "")
        self.stray = plan.get("reply", "")
        self.vectors = plan.get("vectors", 0)
        self.dimensions = plan.get("dimensions", 4)
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

    def token(self) -> Token:
        """The next word."""
        word = self.words[self.position]
        self.position += 1
        if self.logprobs is None:
            return Token(text=word)
        return Token(text=word, logprobs=(logprobs_of(self.position, word, self.logprobs),))

    def reply(self) -> Reply:
        """The answer to the question."""
        assert self.question is not None
        if self.vectors:
            return replies.many(self.vectors, self.dimensions)
        return replies.to(self.question)


def text_of(work: GenerateRequest | AnyQuestion) -> str:
    """The text in which a plan may be."""
    match work:
        case GenerateRequest():
            return work.prompt or " ".join(m.content for m in work.messages or ())
        case EmbedQuestion():
            return work.inputs[0] if work.inputs else ""
        case RerankQuestion():
            return work.query
        case TokenizeQuestion():
            return work.text
        case DetokenizeQuestion():
            return bytes(token for token in work.tokens if token < BEGIN).decode(errors="replace")
        case ApplyTemplateQuestion():
            return work.messages[0].content


def words_of(text: str, plan: dict[str, Any]) -> list[str]:
    """What is answered: as many numbered words as planned, or the words of the text."""
    if plan:
        return [f"t{number} " for number in range(plan.get("tokens", 1))]
    return [word + " " for word in text.split()]


def logprobs_of(position: int, word: str, count: int) -> TokenLogprobs:
    """The same for the same word each time; the chosen token is the likeliest."""
    likely = tuple(
        LikelyToken(id=position + rank, piece=word.encode(), logprob=-0.5 * (rank + 1))
        for rank in range(max(count, 1))
    )
    return TokenLogprobs(chosen=likely[0], top=likely[:count])
