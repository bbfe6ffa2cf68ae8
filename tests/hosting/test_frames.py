# SPDX-License-Identifier: GPL-3.0-only
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld import (
    Done,
    Failed,
    FinishReason,
    GenerateRequest,
    Message,
    ModelSpec,
    Sampling,
    StepChunk,
    Token,
    Usage,
)
from modeld.hosting import frames
from modeld.hosting.frames import (
    MAX_FRAME_BYTES,
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Load,
    Loaded,
    LoadFailed,
    Prepare,
    Prepared,
    Progress,
    Report,
    Stepped,
    Submit,
    command_reader,
    encode,
    report_reader,
)
from modeld.values import FileStamp

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
fractions = st.floats(allow_nan=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | fractions | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
stamps = st.builds(FileStamp, device=counts, inode=counts, size_bytes=counts, mtime_ns=numbers)
specs = st.builds(
    ModelSpec,
    id=texts,
    name=texts,
    path=texts,
    family=texts,
    size_bytes=counts,
    context_length=st.none() | counts,
    metadata=st.dictionaries(texts, st.booleans() | numbers | fractions | texts, max_size=3),
    stamp=st.none() | stamps,
    problem=st.none() | texts,
)
samplings = st.builds(
    Sampling, temperature=st.none() | fractions, top_k=st.none() | numbers, seed=st.none() | numbers
)
requests = st.builds(
    GenerateRequest,
    model=texts,
    prompt=st.none() | texts,
    messages=st.none()
    | st.lists(st.builds(Message, role=texts, content=texts), max_size=3).map(tuple),
    max_tokens=st.none() | counts,
    stop=st.lists(texts, max_size=3).map(tuple),
    sampling=samplings,
    timeout_s=st.none() | fractions,
    request_id=texts,
)
usages = st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, cached_tokens=counts)
chunks: st.SearchStrategy[StepChunk] = st.one_of(
    st.builds(Token, text=texts),
    st.builds(Done, finish_reason=st.sampled_from(FinishReason), usage=usages, content=texts),
    st.builds(Failed, code=texts, message=texts, field=st.none() | texts),
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Prepare, imports=st.lists(texts, max_size=3).map(tuple)),
    st.builds(Load, engine=texts, spec=specs, options=st.dictionaries(texts, plain, max_size=3)),
    st.builds(Submit, id=counts, request=requests),
    st.builds(Cancel, id=counts),
    st.just(Close()),
)
reports: st.SearchStrategy[Report] = st.one_of(
    st.just(Prepared()),
    st.builds(Progress, fraction=fractions),
    st.builds(Loaded, slots=counts, held_bytes=counts),
    st.builds(LoadFailed, code=texts, message=texts),
    st.builds(Stepped, chunks=st.lists(st.tuples(counts, chunks), max_size=4).map(tuple)),
    st.builds(Cancelled, id=counts),
)

A_FEW: Sequence[Report] = (
    Prepared(),
    Progress(fraction=0.25),
    Stepped(
        chunks=(
            (1, Token(text="grüße 👋")),
            (2, Done(finish_reason=FinishReason.LENGTH, usage=Usage(completion_tokens=3))),
            (3, Failed(code="prompt_too_long", message="9 over 8", field="prompt")),
        )
    ),
    Cancelled(id=7),
)


@given(commands)
def test_every_command_arrives_as_it_was_sent(message: Command) -> None:
    assert command_reader().feed(encode(message)) == [message]


@given(reports)
def test_every_report_arrives_as_it_was_sent(message: Report) -> None:
    assert report_reader().feed(encode(message)) == [message]


@given(st.lists(reports, max_size=5), st.randoms(use_true_random=False))
def test_messages_arrive_whatever_pieces_they_come_in(
    messages: list[Report], chance: random.Random
) -> None:
    stream = b"".join(map(encode, messages))
    reader, arrived = report_reader(), []
    while stream:
        cut = chance.randint(1, len(stream))
        arrived += reader.feed(stream[:cut])
        stream = stream[cut:]

    assert arrived == messages


def test_a_stream_may_be_cut_at_every_byte() -> None:
    stream = b"".join(map(encode, A_FEW))
    for cut in range(len(stream) + 1):
        reader = report_reader()
        arrived = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        assert arrived == list(A_FEW)


def test_a_stream_may_come_byte_by_byte() -> None:
    reader = report_reader()
    arrived = []
    for byte in b"".join(map(encode, A_FEW)):
        arrived += reader.feed(bytes([byte]))

    assert arrived == list(A_FEW)


def test_a_frame_over_the_limit_is_refused_before_its_content_comes() -> None:
    size = (MAX_FRAME_BYTES + 1).to_bytes(4, "big")

    with pytest.raises(FrameError, match=rf"{MAX_FRAME_BYTES + 1} bytes is over the limit"):
        report_reader().feed(size)


def test_a_frame_at_the_limit_is_waited_for() -> None:
    assert report_reader().feed(MAX_FRAME_BYTES.to_bytes(4, "big")) == []


def test_a_message_over_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    encode(Progress(fraction=0.5))

    with pytest.raises(FrameError, match="is over the limit of 100"):
        encode(LoadFailed(code="load_failed", message="x" * 100))


GARBAGE: dict[str, Any] = {
    "not msgpack": b"\xff\xff\xff\xff",
    "nothing": b"",
    "a number": msgspec.msgpack.encode(7),
    "a map": msgspec.msgpack.encode({"tag": "prepared"}),
    "an unknown tag": msgspec.msgpack.encode(["reboot"]),
    "a command": encode(Close())[4:],
    "too few fields": msgspec.msgpack.encode(["loaded", 1]),
    "a wrong type": msgspec.msgpack.encode(["loaded", "many", 0]),
    "a chunk of no kind": msgspec.msgpack.encode(["stepped", [[1, ["reboot"]]]]),
    "a truncated message": encode(LoadFailed(code="a", message="b"))[4:-1],
    "something after the message": encode(Prepared())[4:] + b"\x00",
    "text that is not UTF-8": msgspec.msgpack.encode(["load_failed", "a", "b"])[:-1] + b"\xff",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_no_message_is_refused(kind: str) -> None:
    content = GARBAGE[kind]

    with pytest.raises(FrameError):
        report_reader().feed(len(content).to_bytes(4, "big") + content)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_but_a_frame_error(data: bytes) -> None:
    try:
        messages = report_reader().feed(data)
    except FrameError:
        return
    assert all(isinstance(message, msgspec.Struct) for message in messages)


def test_messages_before_the_garbage_are_lost_with_it() -> None:
    """Whoever sends garbage is killed, so what came with it does not matter."""
    with pytest.raises(FrameError):
        report_reader().feed(encode(Prepared()) + b"\x00\x00\x00\x01\xff")
