# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import gc
from pathlib import Path

import pytest
import tiny_gguf
import wide_vocabulary
from modeld_llama_cpp.constraints.matching import matcher_cache
from modeld_llama_cpp.constraints.matching.matcher import Matcher
from modeld_llama_cpp.constraints.matching.matcher_cache import (
    MOST_KEPT,
    Constraints,
    constraint_of,
)
from modeld_llama_cpp.native import heap
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from wide_vocabulary import BOS, EOS, token_of, word

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError

A, B, C = (token_of(byte) for byte in (b"a", b"b", b"c"))


def matcher(constraints: Constraints, **fields: object) -> Matcher:
    made = constraints.matcher(GenerateRequest(**fields))
    assert made is not None
    return made


def test_a_matcher_says_what_may_come(constraints: Constraints) -> None:
    one = matcher(constraints, regex="a[bc]")
    assert one.allows(A)
    assert not one.allows(B)
    assert not one.allows(EOS)
    one.accept(A)
    assert set(one.allowed().nonzero()[0]) == {B, C}
    one.accept(B)
    assert one.is_finished
    assert one.allows(EOS)
    assert set(one.allowed().nonzero()[0]) == {EOS}


def test_the_end_may_come_where_all_is_said_and_more_could_follow(
    constraints: Constraints,
) -> None:
    one = matcher(constraints, regex="ab*")
    one.accept(A)
    assert one.can_end
    assert not one.is_finished
    assert set(one.allowed().nonzero()[0]) == {B, EOS}


def test_no_special_token_comes_for_its_name(constraints: Constraints) -> None:
    one = matcher(constraints, regex="<s>|x")
    assert not one.allows(BOS)
    assert one.allows(token_of(b"<"))


def test_long_tokens_are_as_good_as_their_letters(constraints: Constraints) -> None:
    assert word(300) == "o300"
    one = matcher(constraints, regex="[a-z][0-9]+!")
    assert one.count_allowed([300, token_of(b"!")]) == 2
    assert one.count_allowed([300, 300]) == 1
    assert one.count_allowed([token_of(b"!")]) == 0


def test_what_must_come_is_spelt_as_the_tokenizer_does(tmp_path: Path) -> None:
    model = wide_vocabulary.load(tiny_gguf.write_scripted(tmp_path / "m.gguf"))
    constraints = Constraints(Vocabulary(model))
    one = matcher(constraints, choice=("abc def", "abc xyz"))
    spelt = one.forced()
    assert spelt == [tiny_gguf.token_of(byte) for byte in b"abc "]
    for token in spelt:
        one.accept(token)
    assert one.forced() == []
    one.accept(tiny_gguf.token_of(b"x"))
    assert one.forced() == [tiny_gguf.token_of(byte) for byte in b"yz"]
    constraints.close()
    wide_vocabulary.free(model)


def test_copies_go_their_own_ways(constraints: Constraints) -> None:
    one = matcher(constraints, regex="a[bc]")
    other = one.copy()
    one.accept(A)
    assert one.allows(B)
    assert other.allows(A)


def test_a_token_against_it_is_an_error_of_the_request(constraints: Constraints) -> None:
    one = matcher(constraints, regex="abc")
    with pytest.raises(InvalidRequestError) as caught:
        one.accept(B)
    assert caught.value.field == "regex"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"grammar": "root ::= (("},
        {"json_schema": {"type": "strin"}},
        {"regex": "("},
        {"lark": "start: missing"},
        {"lark": 'start: "a"\0'},
    ],
)
def test_what_cannot_be_used_names_its_field(
    fields: dict[str, object], constraints: Constraints
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        constraints.matcher(GenerateRequest(**fields))
    (field,) = fields
    assert caught.value.field == field


def test_a_request_has_one_constraint_or_none(constraints: Constraints) -> None:
    assert constraint_of(GenerateRequest()) is None
    assert constraints.matcher(GenerateRequest()) is None
    with pytest.raises(InvalidRequestError, match="cannot be used together"):
        constraint_of(GenerateRequest(regex="a", lark="b"))


def test_what_was_compiled_is_kept_within_bounds(constraints: Constraints) -> None:
    first = matcher(constraints, regex="first")
    for number in range(MOST_KEPT + 5):
        matcher(constraints, regex=f"another{number}")
    assert len(constraints._kept) == MOST_KEPT
    assert first.allows(token_of(b"f")), "a copy outlives what it was copied from"
    kept = list(constraints._kept)
    matcher(constraints, regex="another10")
    assert set(constraints._kept) == set(kept), "it was there"
    assert list(constraints._kept)[-1] != kept[-1], "and is the last that was used"


def test_large_ones_leave_room_for_few(
    constraints: Constraints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher_cache, "MOST_KEPT_CHARACTERS", 100)
    for length in (30, 40, 200):
        assert matcher(constraints, lark=f'start: "{"a" * length}"').allows(A)
        kept = sum(len(grammar) for _, grammar in constraints._kept)
        assert kept <= 100 or len(constraints._kept) == 1


def test_matchers_give_their_memory_back(constraints: Constraints) -> None:
    matcher(constraints, json_schema={"type": "object"})
    gc.collect()
    before = heap.used_bytes()
    for _ in range(50):
        matcher(constraints, json_schema={"type": "object"})
    gc.collect()
    assert heap.used_bytes() - before < 500_000
