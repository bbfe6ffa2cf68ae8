# SPDX-License-Identifier: GPL-3.0-only
"""The values that cross every border of modeld, and those that say what is there to be served.

Each is a frozen struct of plain data: it can be compared, logged and sent to another process or
machine as msgpack or JSON without any code of its own. Nothing here does I/O. Requests, responses
and states are in :mod:`modeld.requests`, :mod:`modeld.responses` and :mod:`modeld.status`.
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


class Fit(StrEnum):
    """How a model fits into the memory budget, as far as its estimate tells.

    One that fits ``alone`` takes more than half of it, so that no second one of its size has room
    beside it. One that ``never`` fits needs more than the budget can ever be here; so does one that
    is ``reduced`` as it is configured, and it fits with less.
    """

    FITS = "fits"
    ALONE = "alone"
    REDUCED = "reduced"
    NEVER = "never"


class ModelSpec(Value, frozen=True, kw_only=True):
    """One model that a source has found.

    ``problem`` is ``None`` for a usable model; otherwise it says why the file cannot be used, and
    the model is listed but never loaded. ``metadata`` holds the header's scalar values and short
    arrays under their own keys (for GGUF: ``llama.block_count`` and the like), without the
    vocabulary. ``has_chat_template`` and ``has_infill_tokens`` (those for what stands between a
    prompt and a suffix) are ``None`` where the source does not know.
    ``stamp`` is that of the file at ``path``, ``shard_stamps`` are those of a split model's others.
    ``weights_bytes`` is the sum of the tensors' sizes, without header and padding.
    ``context_length`` is what it was trained for, ``context`` the most tokens that one request may
    have as the model is configured. ``capabilities`` are the values of
    :class:`~modeld.capabilities.Capability` that it can be asked for. The service fills in these
    two, and what a source says there is not used. So it does with ``need_bytes``, ``fit`` and
    ``short_by_bytes``, which are estimates, and with ``gives_up``: what one that is ``reduced``
    goes without.

    ``aliases`` are other names for it. ``options`` are its backend's, which the settings may
    override. ``offers`` are the capabilities that it has at most, ``None`` for all that its backend
    declares. ``projector`` is the path of the file that belongs to it for pictures and sound; no
    backend of modeld's own loads it.

    The service fills in ``names``, by which it is found beside its id and its aliases, and
    ``preset_of``: the id of the model that it is a preset of, empty where it is none. That of a
    cluster names the ``hosts`` that have the model's file; on one machine there are none.
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
    has_chat_template: bool | None = None
    has_infill_tokens: bool | None = None
    source: str = ""
    stamp: FileStamp | None = None
    shard_stamps: tuple[FileStamp, ...] = ()
    problem: str | None = None
    capabilities: tuple[str, ...] = ()
    context: int | None = None
    need_bytes: int | None = None
    fit: Fit | None = None
    short_by_bytes: int = 0
    gives_up: str = ""
    aliases: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    offers: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    preset_of: str = ""
    projector: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def version(self) -> tuple[object, ...]:
        """Return what a load goes by: the file, and what the source says of how it is served."""
        return self.stamp, self.shard_stamps, self.path, self.options, self.offers


class Options(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set for one model; a backend extends it with options of its own.

    ``slots`` is how many requests one loaded model works on at once; a load whose engine has fewer
    fails. ``warm_up`` is ``True`` or the text of a prompt for a warm-up after each load, ``None``
    for one after those that no request waits for, where the backend gains by it. ``max_idle_s`` and
    ``fit`` are for one model what the settings of these names are for all, and of a higher
    ``priority`` it gets memory sooner and leaves it later. ``backend`` names the one that loads the
    model. By all of these but ``slots`` modeld goes itself, and a backend need not look.
    """

    slots: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | None,
        msgspec.Meta(
            description="how many requests one loaded model works on at once; as many as its engine"
            " can unless set"
        ),
    ] = None
    max_idle_s: Annotated[
        Annotated[float, msgspec.Meta(ge=0)] | None,
        msgspec.Meta(
            description="longest time that the model stays loaded unused; as the setting unless"
            " set, 0: no limit"
        ),
    ] = None
    fit: Annotated[
        bool | None,
        msgspec.Meta(
            description="load the model with less than configured where it can never fit otherwise;"
            " as the setting unless set"
        ),
    ] = None
    warm_up: Annotated[
        bool | Annotated[str, msgspec.Meta(min_length=1, max_length=65536)] | None,
        msgspec.Meta(
            description="compute a short prompt, or this text, once the model is loaded, before it"
            " takes requests; unless set, where no request waits and its backend gains by it"
        ),
    ] = None
    priority: Annotated[
        int,
        msgspec.Meta(
            ge=-100,
            le=100,
            description="which models get memory first where it is short: the higher number waits"
            " less and leaves later",
        ),
    ] = 0
    backend: Annotated[
        str | None,
        msgspec.Meta(
            description="the backend that loads the model; the first that can, by the names of"
            " their plugins, unless set"
        ),
    ] = None


class MemoryEstimate(Value, frozen=True, kw_only=True):
    """What a model is expected to hold in memory once loaded, in bytes, by part.

    ``on_gpus`` says how much of the sum is in a GPU's own memory: ``gpu0`` for the first GPU that
    the process may use, and so on. The rest is in main memory, as is what a GPU shares with it.
    """

    weights_bytes: int
    kv_bytes: int = 0
    compute_bytes: int = 0
    on_gpus: Mapping[str, int] = {}

    @property
    def total_bytes(self) -> int:
        """Sum of all parts, in bytes."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


class FitStep(Value, frozen=True, kw_only=True):
    """One thing that a model can do with less of, so that it fits into the memory there is.

    ``changes`` are options with their new values, ``gives_up`` is what that means to who uses the
    model, in a few words: "a context of 2048 tokens in place of 4096". Steps of one ``name`` follow
    each other, and the last of them counts.
    """

    name: str
    gives_up: str
    changes: Mapping[str, Any]


class Finding(Value, frozen=True, kw_only=True):
    """One thing that ``modeld doctor`` has found out about this machine.

    ``subject`` is a word or two for what was looked at, ``message`` what was found. ``fix`` says
    what to do where ``level`` is not ``ok``. ``facts`` are the numbers behind it, as plain data.
    """

    subject: str
    level: Literal["ok", "warning", "error"]
    message: str
    fix: str | None = None
    facts: Mapping[str, JsonValue] = {}


class FaultStatus(Value, frozen=True, kw_only=True):
    """What has gone wrong in a plugin while the server runs: how often, and when last.

    ``thing`` is the kind and the name of what it has brought, ``last_unix`` is in seconds.
    """

    thing: str
    message: str
    count: int
    last_unix: int


class PluginStatus(Value, frozen=True, kw_only=True):
    """One installed plugin: what it brings, or why it was left out.

    An active one with a ``reason`` is in use but for what that names; ``faults`` are what has gone
    wrong in it later.
    """

    name: str
    distribution: str
    version: str
    state: Literal["active", "broken", "blocked"]
    provides: tuple[str, ...] = ()
    reason: str | None = None
    faults: tuple[FaultStatus, ...] = ()
