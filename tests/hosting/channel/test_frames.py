# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import random
import struct
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
    Token,
    Usage,
)
from modeld.hosting.channel import frames
from modeld.hosting.channel.frames import (
    MAX_FRAME_BYTES,
    Call,
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
    Returned,
    Sent,
    Stepped,
    Submit,
    command_reader,
    encode,
    report_reader,
)
from modeld.hosting.channel.vectors import Vectors
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    EmbedResponse,
    LikelyToken,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    TokenLogprobs,
)
from modeld.values import FileStamp

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
fractions = st.floats(allow_nan=False)
some_texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
token_ids = st.integers(0, 999_999_999)
timeouts = st.none() | st.floats(0, 86_400, exclude_min=True)
keep_alives = st.none() | st.floats(0, 31_536_000) | st.just("forever")
plain = st.recursive(
    st.none() | st.booleans() | numbers | fractions | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def tuples_of(what: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(what, max_size=3).map(tuple)


def some(what: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(what, min_size=1, max_size=3).map(tuple)


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
    Sampling,
    temperature=st.none() | st.floats(0, 5),
    seed=st.none() | st.integers(0, 2**32 - 2),
    own=st.dictionaries(texts, plain, max_size=3),
    logit_bias=tuples_of(st.tuples(token_ids, st.none() | st.floats(-100, 100))),
)
messages = st.builds(Message, role=some_texts, content=texts)
requests = st.builds(
    GenerateRequest,
    model=texts,
    prompt=st.none() | texts,
    messages=st.none() | tuples_of(messages),
    max_tokens=st.none() | st.integers(1, 2**31),
    stop=tuples_of(some_texts),
    sampling=samplings,
    json_schema=st.none() | st.dictionaries(texts, plain, max_size=3),
    regex=st.none() | texts,
    lark=st.none() | texts,
    choice=st.none() | st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple),
    logprobs=st.none() | st.integers(0, 20),
    timeout_s=timeouts,
    keep_alive_s=keep_alives,
    request_id=texts,
)
usages = st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, cached_tokens=counts)
pieces = st.binary(max_size=8)
likely = st.builds(LikelyToken, id=numbers, piece=pieces, logprob=fractions)
logprobs = st.lists(
    st.builds(TokenLogprobs, chosen=likely, top=st.lists(likely, max_size=2).map(tuple)), max_size=2
).map(tuple)
unary_requests: st.SearchStrategy[AnyUnaryRequest] = st.one_of(
    st.builds(EmbedRequest, inputs=some(some_texts), normalize=st.booleans(), model=texts),
    st.builds(RerankRequest, query=some_texts, documents=some(some_texts)),
    st.builds(TokenizeRequest, text=texts, add_special=st.booleans(), request_id=texts),
    st.builds(DetokenizeRequest, tokens=tuples_of(token_ids), timeout_s=timeouts),
    st.builds(ApplyTemplateRequest, messages=some(messages)),
)
chunks: st.SearchStrategy[Sent] = st.one_of(
    st.builds(Token, text=texts, logprobs=logprobs),
    st.builds(
        Done,
        finish_reason=st.sampled_from(FinishReason),
        usage=usages,
        content=texts,
        logprobs=logprobs,
    ),
    st.builds(Failed, code=texts, message=texts, field=st.none() | texts),
    st.builds(Vectors, numbers=pieces, length=counts, usage=usages),
    st.builds(RerankResponse, scores=tuples_of(fractions), usage=usages),
    st.builds(TokenizeResponse, ids=tuples_of(numbers), pieces=tuples_of(pieces)),
    st.builds(TextResponse, text=texts),
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Prepare, imports=tuples_of(st.tuples(texts, texts))),
    st.builds(Load, engine=texts, spec=specs, options=st.dictionaries(texts, plain, max_size=3)),
    st.builds(Call, function=texts, spec=specs, options=st.dictionaries(texts, plain, max_size=3)),
    st.builds(Submit, id=counts, request=requests | unary_requests),
    st.builds(Cancel, id=counts),
    st.just(Close()),
)
reports: st.SearchStrategy[Report] = st.one_of(
    st.builds(Prepared, failed=tuples_of(st.tuples(texts, texts, texts))),
    st.builds(Progress, fraction=fractions),
    st.builds(Loaded, slots=counts, held_bytes=counts),
    st.builds(Returned, result=plain),
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
    Stepped(chunks=((4, TokenizeResponse(ids=(1, 2), pieces=(b"\xc3", b"\xbc"))),)),
    Cancelled(id=7),
)


@given(commands)
def test_every_command_arrives_as_it_was_sent(message: Command) -> None:
    assert [*command_reader().feed(encode(message))] == [message]


@given(reports)
def test_every_report_arrives_as_it_was_sent(message: Report) -> None:
    assert [*report_reader().feed(encode(message))] == [message]


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
        arrived = [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])]
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
        list(report_reader().feed(size))


def test_a_frame_at_the_limit_is_waited_for() -> None:
    assert [*report_reader().feed(MAX_FRAME_BYTES.to_bytes(4, "big"))] == []


def test_a_message_over_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    encode(Progress(fraction=0.5))

    with pytest.raises(FrameError, match="is over the limit of 100"):
        encode(LoadFailed(code="load_failed", message="x" * 100))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_a_number_of_more_than_64_bits_is_not_sent(number: int) -> None:
    with pytest.raises(FrameError, match="a number cannot be encoded"):
        encode(Returned(result={"size": number}))


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
    "embeddings that are not packed": msgspec.msgpack.encode(
        Stepped(chunks=((1, EmbedResponse(vectors=((1.0,),), usage=Usage())),))  # type: ignore[arg-type]
    ),
    "a truncated message": encode(LoadFailed(code="a", message="b"))[4:-1],
    "something after the message": encode(Prepared())[4:] + b"\x00",
    "text that is not UTF-8": msgspec.msgpack.encode(["load_failed", "a", "b"])[:-1] + b"\xff",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_no_message_is_refused(kind: str) -> None:
    content = GARBAGE[kind]

    with pytest.raises(FrameError):
        list(report_reader().feed(len(content).to_bytes(4, "big") + content))


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_but_a_frame_error(data: bytes) -> None:
    try:
        messages = [*report_reader().feed(data)]
    except FrameError:
        return
    assert all(isinstance(message, msgspec.Struct) for message in messages)


def test_messages_before_garbage_arrive_and_garbage_stays_garbage() -> None:
    reader = report_reader()
    messages = reader.feed(encode(Prepared()) + b"\x00\x00\x00\x01\xff")
    assert next(messages) == Prepared()
    with pytest.raises(FrameError):
        next(messages)
    for more in (b"", encode(Prepared())):
        with pytest.raises(FrameError):
            next(reader.feed(more))


class TestVectors:
    USAGE = Usage(prompt_tokens=3)

    def arrived(self, *vectors: tuple[float, ...]) -> EmbedResponse:
        packed = Vectors.pack(EmbedResponse(vectors=vectors, usage=self.USAGE))
        (report,) = report_reader().feed(encode(Stepped(chunks=((1, packed),))))
        assert isinstance(report, Stepped)
        ((_id, chunk),) = report.chunks
        assert isinstance(chunk, Vectors)
        return asyncio.run(chunk.unpack())

    @given(
        st.integers(1, 5).flatmap(
            lambda length: st.lists(st.tuples(*[st.floats(width=32, allow_nan=False)] * length))
        )
    )
    def test_numbers_of_single_precision_arrive_as_they_were(
        self, vectors: list[tuple[float, ...]]
    ) -> None:
        sent = EmbedResponse(vectors=tuple(vectors), usage=self.USAGE)
        assert self.arrived(*vectors) == sent

    def test_more_precise_numbers_are_rounded(self) -> None:
        ((number,),) = self.arrived((0.1,)).vectors
        assert number != 0.1
        assert number == pytest.approx(0.1, rel=1e-7)

    def test_others_have_their_turns_while_many_are_unpacked(self) -> None:
        packed = Vectors(numbers=bytes(4 * 50 * 4096), length=4096, usage=self.USAGE)

        async def main() -> int:
            unpacking = asyncio.create_task(packed.unpack())
            turns = 0
            while not unpacking.done():
                await asyncio.sleep(0)
                turns += 1
            assert len(unpacking.result().vectors) == 50
            return turns

        assert asyncio.run(main()) >= 3

    def test_the_largest_batch_has_room_in_a_frame(self) -> None:
        packed = Vectors(numbers=bytes(4 * 2048 * 4096), length=4096, usage=self.USAGE)
        assert len(encode(Stepped(chunks=((1, packed),)))) < MAX_FRAME_BYTES

    @pytest.mark.parametrize(
        "vectors", [((1.0,), (1.0, 2.0)), ((1.0, 2.0), (1.0,)), ((), ()), (("x",),), ((None,),)]
    )
    def test_what_are_no_vectors_of_one_length_is_not_packed(self, vectors: Any) -> None:
        with pytest.raises((ValueError, struct.error)):
            Vectors.pack(EmbedResponse(vectors=vectors, usage=self.USAGE))
