# SPDX-License-Identifier: GPL-3.0-only
"""Chooses the next token of one request.

The choosing itself is llama.cpp's. What is done here is to hand it few tokens: where a chain begins
by keeping the k highest logits, only the highest ones can be chosen and those whose logits the
request changes, and finding these takes a fraction of the time of laying out the vocabulary. The
chain then sees what it would have kept of the whole, in the same order, and so chooses the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import llama_cpp
import numpy as np

from modeld.errors import InternalError, InvalidRequestError
from modeld_llama_cpp.candidates import Candidates
from modeld_llama_cpp.chain import Chains
from modeld_llama_cpp.constraint import Constraint
from modeld_llama_cpp.logits import Ids, Row, highest
from modeld_llama_cpp.recent import Recent
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

    def prepare(self, choice: Choice, grammar: str | None = None) -> None:
        """Do what takes long about a sampler, so that making and using it soon after is quick."""
        llama_cpp.llama_sampler_free(self.chains.make(choice))
        if choice.ignore_eos or grammar is not None:
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
        try:
            return Sampler(self, choice, banned, constraint)
        except BaseException:
            if constraint is not None:
                constraint.close()
            raise

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
        self._constraint = constraint
        self._looks_back = _looks_back(shared.chains, choice)
        self._banned = banned
        self._changed = Recent(self._looks_back, {token for token, _ in choice.logit_bias})
        self._free: np.typing.NDArray[np.bool_] | None = None
        if banned:
            self._free = np.ones(shared.vocabulary_size, np.bool_)
            self._free[list(banned)] = False
        self._top = _top(choice)
        self._only_lowers = _only_lowers(choice)
        self._argmax = choice.greedy and not self._looks_back and not choice.logit_bias
        self._chain = shared.chains.make(choice)  # the last that can fail, or it would be lost

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Show it the prompt, whose end counts as repeated too."""
        if self._looks_back:
            end = tokens[-self._looks_back :]
            self._changed.extend(end)
            accept, chain = llama_cpp.llama_sampler_accept, self._chain
            for token in end:
                accept(chain, token)

    def choose(self, row: Row) -> int:
        """Choose a token by its logits, and remember it. The row is left as it is.

        Raises:
            InvalidRequestError: the grammar allows nothing that is not banned.
            InternalError: the logits are not numbers.
        """
        token = self._choose_of_all(row)
        if self._constraint is not None:
            if not self._constraint.allows(token):
                token = self._choose_of_allowed(row, self._constraint)
            self._constraint.accept(token)
        if self._looks_back:
            self._changed.append(token)
            llama_cpp.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Free the chain and the grammar."""
        llama_cpp.llama_sampler_free(self._chain)
        if self._constraint is not None:
            self._constraint.close()

    def _choose_of_all(self, row: Row) -> int:
        """Choose as if there were no grammar."""
        if self._argmax:
            token = int(row.argmax())
            _check(row[token])  # the first that is not a number passes for the highest
            if token not in self._banned:
                return token
        few = None if self._top is None else self._highest(row, self._top)
        if few is None:
            _check(row.max())
        ids = self._every_id() if few is None else few[0]
        self._candidates.fill(row, ids)
        return self._run_chain(row, ids)

    def _choose_of_allowed(self, row: Row, constraint: Constraint) -> int:
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
        return self._run_chain(row, self._candidates.ids())

    def _ever_more(self, row: Row) -> Iterator[tuple[Ids, int]]:
        """Candidates, and how many of them a grammar must leave so that no others are needed."""
        if self._top is not None:
            for count in _WIDENED:
                few = self._highest(row, max(count, self._top))
                if few is not None:
                    ids, changed = few
                    yield ids, self._top + changed
        yield self._every_id(), 0

    def _run_chain(self, row: Row, ids: Ids) -> int:
        """The chain's choice of the candidates, or the highest of them if it comes to none."""
        token = self._candidates.run(self._chain)
        return int(ids[row[ids].argmax()]) if token is None else token

    def _highest(self, row: Row, count: int) -> tuple[Ids, int] | None:
        """The ``count`` highest of the tokens neither changed nor banned, and the changed ones.

        And how many of them are changed. Where these are many, only those are taken that reach the
        others: if the chain but lowers them, no other of them comes among the highest.
        """
        changed, count = self._changed.ids, count + len(self._banned)
        ids = highest(row, count + changed.size, changed)
        if ids is None and changed.size and self._only_lowers:
            others = row.copy()
            others[changed] = -np.inf
            if (ids := highest(others, count)) is not None:
                changed = changed[row[changed] >= row[ids].min()]
                ids = np.union1d(ids, changed)
        if ids is None:
            return None
        return (ids if self._free is None else ids[self._free[ids]]), changed.size

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


def _check(highest_logit: np.float32) -> None:
    """Sorting NaN would be undefined, in llama.cpp and here."""
    if np.isnan(highest_logit):
        raise InternalError("the model has computed something that is not a number")


def _top(choice: Choice) -> int | None:
    """How many of the highest logits the chain goes on with; ``None`` where it looks at all."""
    if choice.greedy:
        return 1
    if choice.mirostat or choice.top_n_sigma > 0.0:
        return None
    return choice.top_k or None


def _only_lowers(choice: Choice) -> bool:
    """Whether the chain raises no logit. DRY never does."""
    penalties = (choice.repeat_penalty - 1.0, choice.presence_penalty, choice.frequency_penalty)
    return min(penalties) >= 0.0 and all(bias <= 0.0 for _, bias in choice.logit_bias)


def _looks_back(chains: Chains, choice: Choice) -> int:
    """How many of the last tokens the chain changes the logits of."""
    return max(
        chains.window(choice.repeat_last_n) if choice.penalises else 0,
        chains.window(choice.dry_penalty_last_n) if choice.stops_repetition else 0,
    )
