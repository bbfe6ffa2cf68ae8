# SPDX-License-Identifier: GPL-3.0-only
"""Chooses the next token of one request.

The choosing itself is llama.cpp's. What is done here is to hand it few tokens: where a chain begins
by keeping the k highest logits, only the highest ones can be chosen and those whose logits the
request changes, and finding these takes a fraction of the time of laying out the vocabulary. The
chain then sees what it would have kept of the whole, in the same order, and so chooses the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property

import llama_cpp
import numpy as np

from modeld.errors import InternalError, InvalidRequestError
from modeld_llama_cpp.candidates import Candidates
from modeld_llama_cpp.chain import Chains
from modeld_llama_cpp.constraint import Constraint
from modeld_llama_cpp.logits import NO_IDS, Ids, Row, highest
from modeld_llama_cpp.sampling import Choice

_WIDENED = (256, 4096)
"""How many tokens a grammar is tried on before it is tried on all, which takes milliseconds."""


class Samplers:
    """What all samplers of one model share. Samplers may be made on any thread."""

    def __init__(self, weights: int, context_length: int) -> None:
        self.vocab: int = llama_cpp.llama_model_get_vocab(weights)
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.chains = Chains(self.vocab, context_length)
        self.candidates = Candidates(self.vocabulary_size)

    @cached_property
    def every_id(self) -> Ids:
        """The whole vocabulary."""
        return np.arange(self.vocabulary_size)

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer."""
        is_end, vocab = llama_cpp.llama_vocab_is_eog, self.vocab
        return frozenset(token for token in range(self.vocabulary_size) if is_end(vocab, token))

    def is_quick(self, choice: Choice) -> bool:
        """Whether a sampler can be made in microseconds, or should better be prepared."""
        return self.chains.is_quick(choice) and not (
            choice.ignore_eos and "end_tokens" not in vars(self)
        )

    def prepare(self, choice: Choice) -> None:
        """Do what takes long about a sampler, so that making it soon after is quick."""
        llama_cpp.llama_sampler_free(self.chains.make(choice))
        if choice.ignore_eos:
            _ = self.end_tokens

    def new(self, choice: Choice, grammar: str | None = None) -> Sampler:
        """A sampler for one request, which must be closed.

        Raises:
            InvalidRequestError: llama.cpp does not take the grammar, or no token is left.
        """
        banned = choice.banned | self.end_tokens if choice.ignore_eos else choice.banned
        if len(banned) == self.vocabulary_size:
            raise InvalidRequestError(
                f"logit_bias: all {len(banned)} tokens of the model are banned", field="logit_bias"
            )
        constraint = None if grammar is None else Constraint(self.vocab, grammar)
        return Sampler(self, choice, banned, constraint)

    def close(self) -> None:
        """Give back what the samplers shared."""
        self.chains.close()


class Sampler:
    """One request's chain, its grammar and what it remembers of the text. Must be closed."""

    def __init__(
        self,
        shared: Samplers,
        choice: Choice,
        banned: frozenset[int],
        constraint: Constraint | None,
    ) -> None:
        self._shared = shared
        self._candidates = shared.candidates
        self._chain = shared.chains.make(choice)
        self._constraint = constraint
        self._recent = _recent(shared.chains, choice)
        self._banned = banned
        self._biased = frozenset(token for token, _ in choice.logit_bias)
        self._free: np.typing.NDArray[np.bool_] | None = None
        if banned:
            self._free = np.ones(shared.vocabulary_size, np.bool_)
            self._free[list(banned)] = False
        self._kept = _kept(choice)
        self._argmax = choice.greedy and self._recent is None and not self._biased

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Show it the prompt, whose end counts as repeated too."""
        if self._recent is not None and self._recent.maxlen:
            for token in tokens[-self._recent.maxlen :]:
                self._remember(token)

    def choose(self, row: Row) -> int:
        """Choose a token by its logits, and remember it. The row is left as it is.

        Raises:
            InvalidRequestError: the grammar allows nothing that is not banned.
            InternalError: the logits are not numbers.
        """
        token = self._choose_freely(row)
        if self._constraint is not None:
            if not self._constraint.allows(token):
                token = self._choose_allowed(row, self._constraint)
            self._constraint.accept(token)
        if self._recent is not None:
            self._remember(token)
        return token

    def close(self) -> None:
        """Free the chain and the grammar."""
        llama_cpp.llama_sampler_free(self._chain)
        if self._constraint is not None:
            self._constraint.close()

    def _remember(self, token: int) -> None:
        assert self._recent is not None
        self._recent.append(token)
        llama_cpp.llama_sampler_accept(self._chain, token)

    def _choose_freely(self, row: Row) -> int:
        if self._argmax:
            token = int(row.argmax())
            if token not in self._banned:
                return token
        ids = None
        if self._kept is not None:
            ids = self._highest(row, self._kept, self._changed())
        if ids is None:
            _check(row)
            ids = self._every_id()
        self._candidates.fill(row, ids)
        return self._choose(row, ids)

    def _choose_allowed(self, row: Row, constraint: Constraint) -> int:
        """Choose among what the grammar allows.

        Looking through the whole vocabulary can be spared if enough of the highest are allowed.
        """
        for ids, enough in self._ever_more(row):
            self._candidates.fill(row, ids)
            self._candidates.drop_refused(constraint.sampler)
            if self._candidates.count >= enough:
                break
        if not self._candidates.count:
            return self._end(constraint)
        return self._choose(row, self._candidates.ids())

    def _ever_more(self, row: Row) -> Iterator[tuple[Ids, int]]:
        """Candidates, and how many of them a grammar must leave so that no others are needed."""
        if self._kept is not None:
            changed = self._changed()
            for count in _WIDENED:
                ids = self._highest(row, max(count, self._kept), changed)
                if ids is not None:
                    yield ids, self._kept + changed.size
        yield self._every_id(), 0

    def _choose(self, row: Row, ids: Ids) -> int:
        token = self._candidates.choose(self._chain)
        return int(ids[row[ids].argmax()]) if token is None else token

    def _changed(self) -> Ids:
        """The tokens whose logits the chain changes before it drops any."""
        changed = self._biased.union(self._recent) if self._recent else self._biased
        return np.fromiter(changed, np.int64, len(changed)) if changed else NO_IDS

    def _highest(self, row: Row, count: int, changed: Ids) -> Ids | None:
        """The ``count`` highest of the tokens neither changed nor banned, and all the changed."""
        ids = highest(row, count + changed.size + len(self._banned), changed)
        return ids if ids is None or self._free is None else ids[self._free[ids]]

    def _every_id(self) -> Ids:
        every_id = self._shared.every_id
        return every_id if self._free is None else every_id[self._free]

    def _end(self, constraint: Constraint) -> int:
        """An end token, even a banned one, if the grammar is finished: nothing can follow it."""
        for token in sorted(self._shared.end_tokens):
            if constraint.allows(token):
                return token
        raise InvalidRequestError(
            "grammar: no token of the model can go on here; ban fewer tokens, or allow more",
            field="grammar",
        )


def _check(row: Row) -> None:
    """Sorting NaN would be undefined, in llama.cpp and here."""
    if np.isnan(row.max()):
        raise InternalError("the model has computed something that is not a number")


def _kept(choice: Choice) -> int | None:
    """How many of the highest logits the chain keeps before anything looks at the others."""
    if choice.greedy:
        return 1
    if choice.mirostat or choice.top_n_sigma > 0.0:
        return None
    return choice.top_k or None


def _recent(chains: Chains, choice: Choice) -> deque[int] | None:
    """Room for the tokens that penalties look back at, if there are any."""
    windows = []
    if choice.penalises:
        windows.append(chains.window(choice.repeat_last_n))
    if choice.stops_repetition:
        windows.append(chains.window(choice.dry_penalty_last_n))
    return deque(maxlen=max(windows)) if windows else None
