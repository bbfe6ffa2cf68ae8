# SPDX-License-Identifier: GPL-3.0-only
"""What the engines serve, by what is known of a model before it is loaded."""

from __future__ import annotations

from typing import Final

from modeld import ModelSpec
from modeld.capabilities import CONSTRAINTS, Capability
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import for_model, makes_vectors
from modeld_llama_cpp.sizing.model_shape import shape_of

_TEMPLATE: Final = frozenset({Capability.TEMPLATE})
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
_OF_TEMPLATE: Final = _TEMPLATE | _CHAT
_TEXT: Final = CONSTRAINTS | {
    Capability.TEXT,
    Capability.TOKEN_IDS,
    Capability.TOKENIZE,
    Capability.LOGPROBS,
}
_RANKS: Final = frozenset({Capability.TOKENIZE, Capability.RERANK})
_VECTORS: Final = frozenset({Capability.TOKENIZE, Capability.EMBED, Capability.TOKEN_IDS})

_TEKKEN_LAYERS: Final = 40
"""A model of so many layers with the vocabulary ``tekken``, but without a chat template, is Mistral
Small, for which llama.cpp has one."""


def of(spec: ModelSpec, options: LlamaOptions) -> frozenset[Capability]:
    """Return what a model can be asked for."""
    shape = shape_of(spec)
    has_template = _has_template(spec, options)
    if makes_vectors(shape, options):
        ranks = for_model(shape, options).pooling == "rank"
        made = _RANKS if ranks else _VECTORS
        return made | _TEMPLATE if has_template else made
    made = _TEXT | {Capability.SUFFIX} if spec.has_infill_tokens else _TEXT
    return made | _OF_TEMPLATE if has_template else made


def advice(missing: Capability, spec: ModelSpec, options: LlamaOptions) -> str:
    """Return the option that would make a model serve what it does not, if there is one."""
    shape = shape_of(spec)
    writes = not makes_vectors(shape, options)
    if missing in {Capability.EMBED, Capability.RERANK} and writes:
        return (
            "it is loaded to write text, and to get vectors of it, set `embeddings: true` for it"
            " under `models` in the settings"
        )
    if missing in {Capability.TEXT, Capability.CHAT} and not writes:
        return (
            "it is loaded for embeddings and writes no text; if it can, set the option"
            " `embeddings: false` for it"
        )
    if missing in (_OF_TEMPLATE if writes else _TEMPLATE) and not _has_template(spec, options):
        return "its file has no chat template; set the option `chat_template` for it"
    if missing is Capability.SUFFIX and spec.has_infill_tokens is False:
        return "its vocabulary has no tokens for filling in the middle"
    return ""


def _has_template(spec: ModelSpec, options: LlamaOptions) -> bool:
    """Return whether there is a chat template; one that nobody knows of may be there."""
    if options.chat_template is not None or options.chat_template_file is not None:
        return True
    if spec.has_chat_template is not False:
        return True
    is_tekken = spec.metadata.get("tokenizer.ggml.pre") == "tekken"
    return is_tekken and spec.metadata.get(f"{spec.family}.block_count") == _TEKKEN_LAYERS
