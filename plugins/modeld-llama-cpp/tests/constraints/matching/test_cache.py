# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from modeld_llama_cpp.constraints.compiler import compile_constraint
from modeld_llama_cpp.constraints.matching.cache import ConstraintCache

from modeld.errors import InvalidRequestError


def test_what_is_known_is_not_compiled_again() -> None:
    cache = ConstraintCache()
    first = cache.compiled("regex", "[a-c]+")
    assert cache.compiled("regex", "[a-c]+") is first
    assert first == compile_constraint("regex", "[a-c]+")


def test_the_same_source_of_another_kind_is_another_constraint() -> None:
    cache = ConstraintCache()
    assert cache.compiled("regex", "a").text != cache.compiled("choice", ["a"]).text
    schemas = [{"properties": {"a": {}, "b": {}}}, {"properties": {"b": {}, "a": {}}}]
    assert len({cache.compiled("json_schema", each).text for each in schemas}) == 2


def test_what_was_not_used_for_long_is_forgotten() -> None:
    size = compile_constraint("regex", "a").size_bytes + 256
    cache = ConstraintCache(2 * size)
    a, b = cache.compiled("regex", "a"), cache.compiled("regex", "b")
    assert cache.compiled("regex", "a") is a
    cache.compiled("regex", "c")
    assert cache.held_bytes == 2 * size
    assert cache.compiled("regex", "a") is a
    assert cache.compiled("regex", "b") is not b


def test_what_is_too_large_to_keep_is_compiled_and_forgotten() -> None:
    cache = ConstraintCache(10)
    assert cache.compiled("regex", "a").text
    assert cache.held_bytes == 0


def test_a_fault_is_not_kept() -> None:
    cache = ConstraintCache()
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="a `\\)` is missing"):
            cache.compiled("regex", "(")
    assert cache.held_bytes == 0


def test_half_of_a_surrogate_pair_is_a_fault() -> None:
    with pytest.raises(InvalidRequestError, match="the json_schema cannot be used"):
        ConstraintCache().compiled("json_schema", {"const": "\ud800"})
