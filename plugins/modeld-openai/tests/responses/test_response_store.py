# SPDX-License-Identifier: GPL-3.0-only
"""What is kept of responses, for whom, and what makes room for newer ones."""

from __future__ import annotations

from modeld_openai.responses.store import ResponseStore, StoredResponse

OUTPUT = b'{"output":[{"id":"o"}]}'


def stored(document: bytes = OUTPUT, *inputs: bytes) -> StoredResponse:
    return StoredResponse(document=document, inputs=inputs, messages=())


def test_the_next_response_goes_on_from_inputs_and_output():
    assert stored(OUTPUT, b'{"id":"i"}').context == (b'{"id":"i"}', b'{"id":"o"}')


def test_a_response_belongs_to_who_has_asked_for_it():
    store = ResponseStore()
    store.keep("me", "r", stored())
    assert store.find("me", "r") == stored()
    assert store.find("you", "r") is None
    assert not store.delete("you", "r")
    assert store.delete("me", "r")
    assert store.find("me", "r") is None


def test_what_was_not_used_for_longest_makes_room():
    store = ResponseStore(max_responses=2)
    store.keep("", "a", stored())
    store.keep("", "b", stored())
    assert store.find("", "a")
    store.keep("", "c", stored())
    assert [bool(store.find("", name)) for name in "abc"] == [True, False, True]


def test_bytes_are_counted_and_given_back():
    one = stored(OUTPUT, b"x" * 100)
    store = ResponseStore(max_bytes=2 * one.size_bytes)
    for name in "abc":
        store.keep("", name, one)
    assert [bool(store.find("", name)) for name in "abc"] == [False, True, True]
    assert store.delete("", "b")
    store.keep("", "d", one)
    assert store.find("", "c")
    assert store.find("", "d")


def test_what_does_not_fit_alone_is_not_kept_and_hurts_no_other():
    one = stored()
    store = ResponseStore(max_bytes=one.size_bytes)
    store.keep("", "a", one)
    store.keep("", "b", stored(OUTPUT, b"x"))
    assert store.find("", "a")
    assert store.find("", "b") is None
