# SPDX-License-Identifier: GPL-3.0-only
"""Checks what a source lists, because clients see it and workers are sent it."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from modeld.capabilities import Capability
from modeld.interfaces import RegistrySource
from modeld.plugins.guard import PluginFault, described, shown
from modeld.values import ModelSpec

MOST_LISTED: Final = 1_000_000
"""How many models a source may list; a generator may never end."""

_decoder: Final = msgspec.msgpack.Decoder(ModelSpec)


async def models_of(source: RegistrySource) -> tuple[ModelSpec, ...]:
    """Return what a source has listed, if it is what a source must list.

    All of it is shown to clients, so what is wrong must not get in.
    """
    try:
        listed = tuple(islice(await source.list_models(), MOST_LISTED + 1))
    except Exception:
        raise
    except BaseException as exc:  # must not look like a cancellation or an end of ours
        raise PluginFault(described(exc)) from exc
    if len(listed) > MOST_LISTED:
        raise TypeError(f"it listed more than {MOST_LISTED} models")
    for spec in listed:
        if not isinstance(spec, ModelSpec):
            raise TypeError(f"it listed {shown(spec)}, which is no ModelSpec")
        try:
            _decoder.decode(msgspec.msgpack.encode(spec))
        except Exception as exc:
            raise TypeError(f"it listed {shown(spec.id)}, where {described(exc)}") from exc
        if unknown := set(spec.offers or ()) - set(Capability):
            raise TypeError(f"it listed {shown(spec.id)}, which offers {shown(unknown)}")
    return listed
