# SPDX-License-Identifier: GPL-3.0-only
"""The values that cross every border of modeld.

Each is a frozen struct of plain data: it can be hashed out, compared, logged and sent to another
process or machine as msgpack or JSON without any code of its own. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What JSON can say, and so what crosses a process border without code."""

MetadataValue: TypeAlias = "bool | int | float | str | list[bool | int | float | str]"
"""One value of a model file's header."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values: immutable, compared by content, built by keyword."""


class FileStamp(Value, frozen=True, kw_only=True):
    """What identifies one version of a file: if any of these differs, the bytes may differ.

    Taken from ``os.stat``: device, inode, size in bytes, modification time in nanoseconds.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class ModelSpec(Value, frozen=True, kw_only=True):
    """One model that a source has found.

    ``problem`` is ``None`` for a usable model; otherwise it says why the file cannot be used, and
    the model is listed but never loaded. ``metadata`` holds the header's scalar values and short
    arrays under their own keys (for GGUF: ``llama.block_count`` and the like), without the
    tokenizer. ``weights_bytes`` is the sum of the tensors' sizes, without header and padding.
    """

    id: str
    name: str
    path: str
    format: str = "gguf"
    family: str = ""
    quant: str = ""
    size_bytes: int = 0
    weights_bytes: int = 0
    context_length: int | None = None
    metadata: Mapping[str, MetadataValue] = {}
    source: str = ""
    stamp: FileStamp | None = None
    problem: str | None = None


class Options(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set for one model; a backend extends it with options of its own.

    ``slots`` is how many requests one loaded model serves at once.
    """

    slots: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1


class MemoryEstimate(Value, frozen=True, kw_only=True):
    """What a model is expected to hold in memory once loaded, in bytes, by part."""

    weights_bytes: int
    kv_bytes: int = 0
    compute_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Sum of all parts, in bytes."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


class Message(Value, frozen=True, kw_only=True):
    """One turn of a chat, as a model's chat template expects it."""

    role: str
    content: str


class Sampling(Value, frozen=True, kw_only=True):
    """How the next token is chosen. ``None`` leaves the choice to the engine's default.

    The names are llama.cpp's. ``seed`` makes a sampled answer repeatable on the same engine;
    ``temperature`` 0 is greedy. ``mirostat`` is 0 (off), 1 or 2 and takes the place of what cuts
    the tail (``top_k`` to ``xtc``). ``logit_bias`` adds to the logits of tokens, by token id;
    minus infinity is written as ``None`` and bans the token. ``ignore_eos`` bans all tokens that
    end an answer. ``dry_sequence_breakers`` are the texts at which a repetition ends.
    """

    temperature: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    logit_bias: tuple[tuple[int, float | None], ...] = ()
    ignore_eos: bool = False
    seed: int | None = None


class GenerateRequest(Value, frozen=True, kw_only=True):
    """A request for text. Exactly one of ``prompt`` and ``messages`` is set.

    ``model`` is a registry id; empty means the configured default. ``max_tokens`` of ``None``
    means as many as the context has room for. ``timeout_s`` bounds the whole request, waiting
    included. ``request_id`` names the request in logs and errors.

    ``grammar`` (GBNF) or ``json_schema``, never both, is what the answer must conform to.
    ``logprobs`` of ``None`` asks for no probabilities, ``n`` for those of each chosen token and of
    the ``n`` likeliest ones. ``cache_prompt`` allows the engine to take parts of the prompt from
    its cache and to keep them there; requests share cached parts only if their ``cache_salt`` is
    the same.
    """

    model: str = ""
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    logprobs: int | None = None
    cache_prompt: bool = True
    cache_salt: str = ""
    timeout_s: float | None = None
    request_id: str = ""


class FinishReason(StrEnum):
    """Why a generation ended well."""

    STOP = "stop"
    LENGTH = "length"


class Usage(Value, frozen=True, kw_only=True):
    """How many tokens a request cost.

    ``cached_tokens`` of the prompt's tokens were found in the engine's cache and not computed.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class LikelyToken(Value, frozen=True, kw_only=True, array_like=True, gc=False):
    """A token and the natural logarithm of its probability before any sampler changed it.

    ``piece`` is the token's bytes, which need not be whole characters.
    """

    id: int
    piece: bytes
    logprob: float


class TokenLogprobs(Value, frozen=True, kw_only=True, array_like=True, gc=False):
    """One chosen token and the likeliest tokens in its place, the likeliest first."""

    chosen: LikelyToken
    top: tuple[LikelyToken, ...] = ()


class Token(Value, frozen=True, kw_only=True, tag="token", array_like=True, gc=False):
    """A piece of the answer: whole characters, never empty.

    ``logprobs``, where they were asked for, are of the tokens that this text was made of or that
    were kept back before it; so a chunk may have several, or none.
    """

    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


class Done(Value, frozen=True, kw_only=True, tag="done", array_like=True):
    """The end of an answer that went well; always the last chunk.

    An engine leaves ``content`` empty; the service fills in the whole answer. ``logprobs`` are
    those that came after the last text; the others came with their tokens.
    """

    finish_reason: FinishReason
    usage: Usage
    content: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()


class Failed(Value, frozen=True, kw_only=True, tag="failed", array_like=True):
    """The end of one request that an engine could not serve, as an error code and a message.

    Only step engines yield it; everywhere else the same thing is an exception.
    """

    code: str
    message: str
    field: str | None = None


Chunk: TypeAlias = Token | Done
StepChunk: TypeAlias = Token | Done | Failed


class InstanceState(StrEnum):
    """Where a model is on its way into and out of memory."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class EvictionReason(StrEnum):
    """Why a loaded model was taken out of memory."""

    MAKE_ROOM = "make_room"
    UNLOAD_REQUESTED = "unload_requested"
    FILE_CHANGED = "file_changed"
    WORKER_EXITED = "worker_exited"
    SHUTDOWN = "shutdown"


class InstanceStatus(Value, frozen=True, kw_only=True):
    """One model's place in memory, as ``/status`` shows it.

    ``held_bytes`` is the larger of the estimate and what was measured after the load.
    ``last_used_unix`` is in seconds; 0 means never. A ``pinned`` model makes room for no other.
    The tokens are those since the start; ``completion_tokens_total`` grows while answers run.
    """

    model_id: str
    state: InstanceState
    last_used_unix: int
    held_bytes: int
    queue_len: int
    inflight: int
    max_queue_depth: int
    slots: int
    pinned: bool = False
    pid: int | None = None
    loads_total: int = 0
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0
    last_error: str | None = None
    log_tail: tuple[str, ...] = ()


class ServiceState(StrEnum):
    """What the service as a whole is doing."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"


class ServiceStatus(Value, frozen=True, kw_only=True):
    """Everything that ``/status`` shows. ``budget_bytes`` of ``None`` means unlimited.

    ``error`` is what is wrong now; ``last_error`` is the latest failure of any model.
    """

    state: ServiceState
    instances: tuple[InstanceStatus, ...]
    budget_bytes: int | None
    held_bytes: int
    margin_bytes: int
    loads_total: int
    evictions_total: int
    uptime_s: float
    spare_workers: int = 0
    error: str | None = None
    last_error: str | None = None


class Readiness(Value, frozen=True, kw_only=True):
    """Whether requests can be served now; ``reason`` is one word for people and probes."""

    ready: bool
    reason: str


class Finding(Value, frozen=True, kw_only=True):
    """One thing that an examination of this machine has found out.

    ``subject`` is a word or two for what was looked at, ``message`` what was found. ``fix`` says
    what to do where ``level`` is not ``ok``. ``facts`` are the numbers behind it, as plain data.
    """

    subject: str
    level: Literal["ok", "warning", "error"]
    message: str
    fix: str | None = None
    facts: Mapping[str, JsonValue] = {}


class PluginStatus(Value, frozen=True, kw_only=True):
    """One installed plugin: what it brings, or why it was left out."""

    name: str
    distribution: str
    version: str
    state: Literal["active", "broken", "blocked"]
    provides: tuple[str, ...] = ()
    reason: str | None = None
