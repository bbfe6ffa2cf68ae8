# SPDX-License-Identifier: GPL-3.0-only
"""What the engines serve, by what is known of a model before it is loaded."""

from __future__ import annotations

from typing import Final

from modeld.capabilities import CONSTRAINTS, Capability
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import for_model, makes_vectors
from modeld_llama_cpp.sizing.model_shape import ModelShape

_TOKENS: Final = frozenset({Capability.TOKENIZE, Capability.TEMPLATE})
_CHAT: Final = frozenset(
    {
        Capability.CHAT,
        Capability.PARTS,
        Capability.NAMES,
        Capability.TOOLS,
        Capability.REASONING,
        Capability.TEMPLATE_KWARGS,
        Capability.CONTINUE_LAST,
    }
)
_PROMPTS: Final = frozenset({Capability.TEXT, Capability.TOKEN_IDS})
_TEXT: Final = _TOKENS | CONSTRAINTS | _CHAT | _PROMPTS | {Capability.LOGPROBS}


def of(shape: ModelShape, options: LlamaOptions) -> frozenset[Capability]:
    """Return what a model can be asked for."""
    if not makes_vectors(shape, options):
        return _TEXT
    ranks = for_model(shape, options).pooling == "rank"
    return _TOKENS | ({Capability.RERANK} if ranks else {Capability.EMBED, Capability.TOKEN_IDS})


def advice(missing: Capability, shape: ModelShape, options: LlamaOptions) -> str:
    """Return the option that would make a model serve what it does not, if there is one."""
    if missing in {Capability.EMBED, Capability.RERANK} and not makes_vectors(shape, options):
        return (
            "it is loaded to write text, and to get vectors of it, set `embeddings: true` for it"
            " under `models` in the settings"
        )
    if missing in {Capability.TEXT, Capability.CHAT} and makes_vectors(shape, options):
        return (
            "it is loaded for embeddings and writes no text; if it can, set the option"
            " `embeddings: false` for it"
        )
    return ""
