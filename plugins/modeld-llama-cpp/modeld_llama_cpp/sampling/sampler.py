# SPDX-License-Identifier: GPL-3.0-only
"""Chooses the next token of one request.

The choosing itself is llama.cpp's. What is done here is to hand it few tokens: where a chain begins
by keeping the k highest logits, only the highest ones can be chosen and those whose logits the
request changes, and finding these takes a fraction of the time of laying out the vocabulary. The
chain then sees what it would have kept of the whole, in the same order, and so chooses the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import llama_cpp
import numpy as np

from modeld.errors import InternalError, InvalidRequestError
from modeld_llama_cpp.constraints.matching.matcher import Allowed, Matcher
from modeld_llama_cpp.sampling.candidates import Candidates
from modeld_llama_cpp.sampling.chain import Chains
from modeld_llama_cpp.sampling.logits import Ids, Row, highest
from modeld_llama_cpp.sampling.parameters import Choice
from modeld_llama_cpp.sampling.penalty_window import PenaltyWindow

_FEW = 1024
"""So many tokens a chain may as well go over; of more the highest are looked for first."""


class Samplers:
    """What all samplers of one model share. Samplers may be made on any thread."""

    def __init__(self, weights: int, context_length: int) -> None:
        self.vocab: int = llama_cpp.llama_model_get_vocab(weights)
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.chains = Chains(self.vocab, context_length)
        self.candidates = Candidates(self.vocabulary_size)

    @cached_property
    def every_id(self) -> Ids:
        """Return the whole vocabulary."""
        return np.arange(self.vocabulary_size)

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Return the tokens that end a generation."""
        is_end, vocab = llama_cpp.llama_vocab_is_eog, self.vocab
        return frozenset(token for token in range(self.vocabulary_size) if is_end(vocab, token))

    def is_quick(self, choice: Choice) -> bool:
        """Return whether a sampler can be made in microseconds, or should better be prepared."""
        return self.chains.is_quick(choice) and not (
            choice.ignore_eos and "end_tokens" not in vars(self)
        )

    def prepare(self, choice: Choice) -> None:
        """Do what takes long about a sampler, so that making it soon after is quick."""
        llama_cpp.llama_sampler_free(self.chains.make(choice))
        if choice.ignore_eos:
            _ = self.end_tokens

    def new(self, choice: Choice, matcher: Matcher | None = None) -> Sampler:
        """Return a sampler for one request. It must be closed, which closes the matcher too.

        Raises:
            InvalidRequestError: no token is left.
        """
        banned = choice.banned | self.end_tokens if choice.ignore_eos else choice.banned
        if len(banned) == self.vocabulary_size:
            raise InvalidRequestError(
                f"logit_bias: all {len(banned)} tokens of the model are banned", field="logit_bias"
            )
        return Sampler(self, choice, banned, matcher)

    def close(self) -> None:
        """Give back what the samplers shared."""
        self.chains.close()


class Sampler:
    """One request's chain, its constraint and what it remembers of the text. Must be closed."""

    def __init__(
        self,
        shared: Samplers,
        choice: Choice,
        banned: frozenset[int],
        matcher: Matcher | None,
    ) -> None:
        self._shared = shared
        self._candidates = shared.candidates
        self._matcher = matcher
        self._held: Matcher | None = None
        self._looks_back = _looks_back(shared.chains, choice)
        self._banned = banned
        self._changed = PenaltyWindow(self._looks_back, {token for token, _ in choice.logit_bias})
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

    @property
    def is_finished(self) -> bool:
        """Return whether the constraint leaves nothing but the end of the generation."""
        return self._matcher is not None and self._matcher.is_finished

    def hold(self) -> None:
        """Choose freely until :meth:`constrain`: the constraint is about what comes later."""
        self._held, self._matcher = self._matcher, None

    def constrain(self) -> None:
        """Keep to the constraint from the next token on."""
        self._matcher, self._held = self._held, None

    def look(self, row: Row) -> int:
        """Return a token chosen without the constraint, which :meth:`accept` must be told of."""
        return self._choose_of_all(row)

    def choose(self, row: Row) -> int:
        """Choose a token by its logits, and remember it. The row is left as it is.

        Raises:
            InvalidRequestError: the constraint allows nothing that is not banned.
            InternalError: the logits are not numbers.
        """
        # First without the constraint: most such choices are allowed, and to ask about one token is
        # much quicker than to find all that are.
        token = self._choose_of_all(row)
        if self._matcher is not None and not self._matcher.allows(token):
            token = self._choose_of_allowed(row, self._matcher)
        self.accept(token)
        return token

    def forced(self) -> Sequence[int]:
        """Return the tokens that the constraint leaves no choice about, up to a banned one.

        They need not be chosen, but :meth:`accept` must be told of them.
        """
        if self._matcher is None:
            return ()
        forced = self._matcher.forced()
        banned = (index for index, token in enumerate(forced) if token in self._banned)
        return forced[: next(banned, len(forced))]

    def count_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many tokens the constraint allows one after the other."""
        return len(tokens) if self._matcher is None else self._matcher.count_allowed(tokens)

    def accept(self, token: int) -> None:
        """Remember a token that the constraint allows.

        Raises:
            InvalidRequestError: to follow the constraint would take more than is granted.
        """
        if self._matcher is not None:
            self._matcher.accept(token)
        if self._looks_back:
            self._changed.append(token)
            llama_cpp.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain and the matcher."""
        llama_cpp.llama_sampler_free(self._chain)
        for matcher in (self._matcher, self._held):
            if matcher is not None:
                matcher.close()

    def _choose_of_all(self, row: Row) -> int:
        """Choose as if there were no constraint."""
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

    def _choose_of_allowed(self, row: Row, matcher: Matcher) -> int:
        """Choose among what the constraint allows."""
        allowed = matcher.allowed()
        if self._free is not None:
            allowed &= self._free
        ids = allowed.nonzero()[0]
        if not ids.size:
            return self._end(matcher)
        if self._top is not None and ids.size > _FEW:
            ids = self._highest_allowed(row, allowed, ids)
        self._candidates.fill(row, ids)
        return self._run_chain(row, ids)

    def _highest_allowed(self, row: Row, allowed: Allowed, ids: Ids) -> Ids:
        """Return those of many allowed tokens that the chain may choose."""
        assert self._top is not None
        changed = self._changed.ids
        changed = changed[allowed[changed]]
        found = highest(np.where(allowed, row, -np.inf), self._top + changed.size, changed)
        return ids if found is None else found[allowed[found]]

    def _run_chain(self, row: Row, ids: Ids) -> int:
        """Return the chain's choice of the candidates, or the highest if it comes to none."""
        token = self._candidates.run(self._chain)
        return int(ids[row[ids].argmax()]) if token is None else token

    def _highest(self, row: Row, count: int) -> tuple[Ids, int] | None:
        """Return the ``count`` highest tokens neither changed nor banned, and the changed ones.

        With them comes how many of them are changed. Where these are many, only those are taken
        that reach the others: if the chain but lowers them, no other of them comes among the
        highest.
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

    def _end(self, matcher: Matcher) -> int:
        """Return an end token, even a banned one, if all is said: nothing can follow."""
        if matcher.can_end:
            return matcher.end
        raise InvalidRequestError(
            f"{matcher.kind}: no token of the model can go on here; ban fewer, or allow more",
            field=matcher.kind,
        )


def _check(highest_logit: np.float32) -> None:
    """Raise an :class:`InternalError` for NaN: to sort it is undefined, in llama.cpp and here."""
    if np.isnan(highest_logit):
        raise InternalError("the model has computed something that is not a number")


def _top(choice: Choice) -> int | None:
    """Return how many of the highest logits the chain goes on with; None where it is all."""
    if choice.greedy:
        return 1
    if choice.mirostat or choice.top_n_sigma > 0.0:
        return None
    return choice.top_k or None


def _only_lowers(choice: Choice) -> bool:
    """Return whether the chain raises no logit. DRY never does."""
    penalties = (choice.repeat_penalty - 1.0, choice.presence_penalty, choice.frequency_penalty)
    return min(penalties) >= 0.0 and all(bias <= 0.0 for _, bias in choice.logit_bias)


def _looks_back(chains: Chains, choice: Choice) -> int:
    """Return of how many of the last tokens the chain changes the logits."""
    return max(
        chains.window(choice.repeat_last_n) if choice.penalises else 0,
        chains.window(choice.dry_penalty_last_n) if choice.stops_repetition else 0,
    )
