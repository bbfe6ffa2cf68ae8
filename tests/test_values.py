# SPDX-License-Identifier: GPL-3.0-only
import msgspec
import pytest

from modeld import (
    Done,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    Message,
    ModelSpec,
    Options,
    Sampling,
    Token,
    Usage,
)
from modeld.events import Event, ModelEvicted, RequestFinished
from modeld.status import EvictionReason, InstanceState, InstanceStatus, ServiceState, ServiceStatus
from modeld.values import FileStamp

INSTANCE = InstanceStatus(
    model_id="a",
    state=InstanceState.READY,
    last_used_unix=7,
    held_bytes=1 << 33,
    queue_len=1,
    inflight=2,
    max_queue_depth=3,
    slots=4,
    log_tail=("x",),
)
VALUES = [
    ModelSpec(
        id="a",
        name="a",
        path="/a",
        metadata={"llama.block_count": 7, "tags": ["x", 1, 0.5, True]},
        stamp=FileStamp(device=1, inode=2, size_bytes=3, mtime_ns=4),
    ),
    GenerateRequest(prompt="grüße"),
    GenerateRequest(
        messages=(Message(role="user", content="hi"),),
        stop=("\n",),
        sampling=Sampling(temperature=0.0, seed=7),
        timeout_s=1.5,
        keep_alive_s="forever",
    ),
    MemoryEstimate(weights_bytes=1, kv_bytes=2, compute_bytes=3),
    INSTANCE,
    ServiceStatus(
        state=ServiceState.RUNNING,
        instances=(INSTANCE,),
        budget_bytes=None,
        held_bytes=1,
        margin_bytes=2,
        loads_total=3,
        evictions_total=4,
        uptime_s=5.5,
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_msgpack_and_json(value: msgspec.Struct) -> None:
    kind = type(value)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind) == value
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_cannot_be_changed(value: msgspec.Struct) -> None:
    (field, *_) = msgspec.structs.fields(value)
    with pytest.raises(AttributeError):
        setattr(value, field.name, None)


def test_values_are_made_by_keyword() -> None:
    with pytest.raises(TypeError):
        Token("hello")  # type: ignore[misc]


def test_an_estimate_and_a_usage_add_up() -> None:
    assert MemoryEstimate(weights_bytes=1, kv_bytes=20, compute_bytes=300).total_bytes == 321
    assert Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=2).total_tokens == 7


def test_chunks_are_told_apart_by_their_tag() -> None:
    done = Done(finish_reason=FinishReason.LENGTH, usage=Usage())
    for chunk in (Token(text="x"), done):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(chunk), type=Token | Done) == chunk


def test_events_are_told_apart_by_their_type() -> None:
    evicted = ModelEvicted(model="a", reason=EvictionReason.MAKE_ROOM, freed_bytes=1)
    finished = RequestFinished(
        request_id="r",
        model="a",
        outcome="stop",
        seconds=1.0,
        first_token_s=None,
        prompt_tokens=1,
        completion_tokens=2,
        gaps_s=(0.1, 0.2),
    )
    for event in (evicted, finished):
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_options_that_no_backend_knows_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="contex"):
        msgspec.convert({"contex": 1}, Options)


@pytest.mark.parametrize("slots", [0, 257, "many"])
def test_slots_have_a_range(slots: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"slots": slots}, Options)
