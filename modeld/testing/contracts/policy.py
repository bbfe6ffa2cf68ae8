# SPDX-License-Identifier: GPL-3.0-only
"""What an eviction policy keeps to."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from msgspec.structs import replace

from modeld import Candidate, EvictionPolicy
from modeld.testing.contract import Contract, assert_that, check
from modeld.testing.contracts.naming import check_name
from modeld.testing.contracts.timing import quickest

MANY: Final = 2_000
CHOOSES: Final = "test_victims_are_candidates"


class EvictionPolicyContract(Contract):
    """What every eviction policy keeps to. ``policy`` is the one to look at."""

    subjects: ClassVar[tuple[str, ...]] = ("policy",)

    policy: EvictionPolicy
    quick_s: float = 0.5

    @check()
    def test_it_has_a_name(self) -> None:
        """It is named, with a text that settings can name."""
        check_name("the policy", self.policy)

    @check()
    def test_victims_are_candidates(self) -> None:
        """It returns a sequence of what it was given, each once."""
        for candidates, needed in _cases():
            victims: object = self.policy.choose(candidates, needed)
            assert_that(
                isinstance(victims, Sequence), f"choose returned {victims!r:.200}; return a list"
            )
            assert isinstance(victims, Sequence)
            strange = [each for each in victims if each not in candidates]
            assert_that(not strange, f"{strange[:1]!r} is no candidate; only those may be evicted")
            names = [each.model for each in victims]
            assert_that(len(names) == len(set(names)), f"{names} has a victim twice")

    @check(CHOOSES)
    def test_victims_are_enough_or_none(self) -> None:
        """Their bytes are what is needed; where all together are too few, none is named."""
        for candidates, needed in _cases():
            victims = self.policy.choose(candidates, needed)
            freed = sum(each.held_bytes for each in victims)
            possible = sum(each.held_bytes for each in candidates)
            if possible < needed:
                assert_that(
                    not victims,
                    f"{needed:,} bytes are needed, all candidates have {possible:,}, and it chose"
                    f" {len(victims)} of them; evict nobody in vain",
                )
            else:
                assert_that(
                    freed >= needed,
                    f"{needed:,} bytes are needed, and the victims have {freed:,}; choose more",
                )

    @check(CHOOSES)
    def test_the_choice_is_the_same_each_time(self) -> None:
        """It depends on what it was given alone: it keeps nothing, and reads no clock."""
        for candidates, needed in _cases():
            one = _names(self.policy.choose(candidates, needed))
            self.policy.choose(candidates[:1], 1)
            other = _names(self.policy.choose(candidates, needed))
            assert_that(
                one == other,
                f"it chose {one} and then {other} for the same candidates; keep no state, and read"
                " no clock",
            )

    @check("test_the_choice_is_the_same_each_time")
    def test_the_order_of_the_candidates_does_not_matter(self) -> None:
        """They come in any order."""
        for candidates, needed in _cases():
            one = _names(self.policy.choose(candidates, needed))
            other = _names(self.policy.choose(candidates[::-1], needed))
            assert_that(
                one == other,
                f"it chose {one}, and {other} when the candidates came in another order; sort them"
                " by something that all have",
            )

    @check("test_the_choice_is_the_same_each_time")
    def test_only_the_order_of_times_matters(self) -> None:
        """The clock may begin anywhere."""
        for candidates, needed in _cases():
            later = [
                replace(each, last_used_s=each.last_used_s + 1e6, loaded_s=each.loaded_s + 1e6)
                for each in candidates
            ]
            one = _names(self.policy.choose(candidates, needed))
            other = _names(self.policy.choose(later, needed))
            assert_that(
                one == other,
                f"it chose {one}, and {other} when the clock was later; compare times with each"
                " other only",
            )

    @check(CHOOSES)
    def test_what_it_is_given_stays_as_it_is(self) -> None:
        """It sorts a copy."""
        for candidates, needed in _cases():
            before = [*candidates]
            self.policy.choose(candidates, needed)
            assert_that(candidates == before, "choose changed the list of candidates; copy it")

    @check(CHOOSES)
    def test_many_candidates_take_no_time(self) -> None:
        """It is called on the event loop."""
        candidates = [_candidate(number, number % 7 + 1) for number in range(MANY)]
        needed = sum(each.held_bytes for each in candidates) // 2
        took_s = quickest(lambda: self.policy.choose(candidates, needed))
        assert_that(
            took_s < self.quick_s,
            f"choosing among {MANY:,} candidates took {took_s:.1f} s; the event loop waits for it",
        )


def _cases() -> Iterator[tuple[list[Candidate], int]]:
    """Yield candidates and needs, possible ones and others."""
    yield [], 1
    for count, seed in itertools.product((1, 2, 5, 9), range(3)):
        chance = random.Random(seed)  # noqa: S311  (the same cases each time)
        candidates = [_candidate(number, chance.randint(1, 9)) for number in range(count)]
        chance.shuffle(candidates)
        total = sum(each.held_bytes for each in candidates)
        for needed in (1, candidates[0].held_bytes, total // 2 + 1, total, total + 1):
            yield candidates, needed


def _candidate(number: int, size: int) -> Candidate:
    return Candidate(
        model=f"model-{number}",
        held_bytes=size << 20,
        last_used_s=1000.0 + number * 7 % 11,
        loaded_s=float(number),
        load_seconds=1.0 + number % 3,
        uses=number % 5,
        rate_per_s=0.001 * (number % 4),
    )


def _names(victims: Sequence[Candidate]) -> list[str]:
    return sorted(each.model for each in victims)
