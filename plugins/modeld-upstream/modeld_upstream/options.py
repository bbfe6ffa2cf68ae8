# SPDX-License-Identifier: GPL-3.0-only
"""What can be set for one model on a server of another make."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import Options

Slots = Annotated[int, Meta(ge=1, le=256)]
Context = Annotated[int, Meta(ge=8, le=1 << 24)]
MemoryMb = Annotated[int, Meta(ge=0, le=1 << 30)]


class UpstreamOptions(Options, frozen=True, kw_only=True):
    """Options of the upstream backends.

    ``slots`` is how many requests the server is sent at once; the others wait here. ``context`` is
    the most tokens of one request, and what ``{ctx}`` in a command stands for. ``memory_mb`` is
    what the model takes of this machine's budget; without it the size of its file counts, and once
    it is loaded what its processes hold, which tells nothing of GPUs.
    """

    slots: Annotated[Slots, Meta(description="how many requests the server is sent at once")] = 4
    context: Annotated[
        Context | None,
        Meta(description="most tokens of one request; what {ctx} in a command stands for"),
    ] = None
    memory_mb: Annotated[
        MemoryMb | None,
        Meta(
            description="what the model takes of the memory budget, in MiB; unless set, the size of"
            " its file, then what its processes hold"
        ),
    ] = None
