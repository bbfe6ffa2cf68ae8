# SPDX-License-Identifier: GPL-3.0-only
"""The scheduler and the prefix cache that a model needs, by what it can do and by its options."""

from __future__ import annotations

from modeld_llama_cpp.engine.drafting import Drafting
from modeld_llama_cpp.engine.prefix_cache import MOST_SAVED, PrefixCache
from modeld_llama_cpp.engine.scheduler import Scheduler
from modeld_llama_cpp.native.model import Model
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size

BLOCK = 8
"""Of weights that were laid out anew, llama.cpp's kernels for x86-64 take four tokens at once and
what is left one by one, and round otherwise in these and in a batch of four to seven. Measured with
Q4_K: a prompt split anywhere has other logits than in one piece; split behind a multiple of eight,
with eight tokens or more to come, it has the same."""


def prefix_cache_for(model: Model, options: LlamaOptions) -> PrefixCache:
    """Return the empty prefix cache of a loaded model."""
    return PrefixCache(
        context_size.prefix_cache_tokens(options, model.context_length),
        MOST_SAVED if model.can_cut else options.slots,
        in_parts=model.can_cut,
    )


def scheduler_for(model: Model, options: LlamaOptions, prefix_cache: PrefixCache) -> Scheduler:
    """Return the scheduler for a loaded model."""
    # A draft that was wrong is cut; and each of its tokens takes a row of logits.
    room = min(context_size.draft_room(options), model.batch - options.slots)
    drafts = model.can_cut and room > 0
    return Scheduler(
        cells=model.cells,
        slots=options.slots,
        batch=model.batch,
        chunk=options.prefill_chunk,
        prefix_cache=prefix_cache,
        in_parts=model.can_cut,
        block=BLOCK if model.is_repacked else 1,
        drafting=Drafting(options.draft_tokens, room) if drafts else None,
    )
