# SPDX-License-Identifier: GPL-3.0-only
"""A model's shape: how wide it is, how many layers it has, and what each of them keeps.

Everything that an estimate needs is read from the file's header once. Loads no runtime.
"""

from __future__ import annotations

from collections.abc import Mapping

from modeld import ModelSpec
from modeld.values import MetadataValue, Value
from modeld_llama_cpp.sizing.families import ENCODERS

MOST_LAYERS = 512
"""llama.cpp loads no model with more. A damaged header may say billions."""

LARGEST_VOCABULARY = 262_144
"""Assumed where nothing tells the vocabulary's size: Gemma's, the largest in use."""

_TOKEN_BYTES = {"gpt2": 36}
_OTHER_TOKEN_BYTES = 24
"""What a token takes in the header: its text, score and kind, and in byte-pair ones its merges."""

_FULL_ATTENTION_INTERVAL = 4
"""Of Qwen3-Next and its successors, where the header does not say another."""

_INTERVAL_FAMILIES = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_PURELY_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_BOTH_IN_EACH_LAYER = frozenset({"falcon-h1"})


class Header:
    """What the header has under ``FAMILY.key``, whether for all layers or for each."""

    def __init__(self, spec: ModelSpec) -> None:
        self._values: Mapping[str, MetadataValue] = spec.metadata
        self.family = str(spec.metadata.get("general.architecture", spec.family))
        self.layers = min(self.number("block_count"), MOST_LAYERS)

    def value(self, key: str) -> MetadataValue | None:
        """Return what stands under a key of the family."""
        return self._values.get(f"{self.family}.{key}")

    def number(self, key: str, default: int = 0) -> int:
        """Return a number; of one that differs by layer the largest."""
        value = self.value(key)
        if isinstance(value, list):
            return max((item for item in value if isinstance(item, int)), default=default)
        return value if isinstance(value, int) else default

    def per_layer(self, key: str, default: int = 0) -> list[int]:
        """Return a number for each layer, however the header writes it."""
        value = self.value(key)
        if isinstance(value, list) and len(value) == self.layers:
            return [item if isinstance(item, int) else default for item in value]
        return [self.number(key, default)] * self.layers

    def differs_by_layer(self, key: str) -> bool:
        """Return whether the header has a list under a key."""
        return isinstance(self.value(key), list)

    def tokenizer_kind(self) -> str:
        """Return the name of the tokenizer."""
        return str(self._values.get("tokenizer.ggml.model"))


class Layer(Value, frozen=True, kw_only=True):
    """How many numbers one layer keeps.

    ``key`` and ``value`` are those of each token, 0 where a layer has no attention or shares that
    of another. ``state`` are those of each sequence, however long it is, in a recurrent layer.
    """

    key: int = 0
    value: int = 0
    state: int = 0


class ModelShape(Value, frozen=True, kw_only=True):
    """The sizes of a model.

    ``trained_length`` is in tokens. ``tokenizer_bytes`` is what the tokenizer takes in the file.
    In a ``causal`` model no token sees a later one. ``pooling_type`` is llama.cpp's number, 0 where
    the header has none. ``feed_forward_width`` counts the numbers that one token has between the
    two halves of a feed-forward layer, in all experts that work on it. ``has_window`` says whether
    some layers see only the last tokens.
    """

    family: str
    trained_length: int | None
    weights_bytes: int
    tokenizer_bytes: int
    vocabulary: int
    causal: bool
    pooling_type: int
    embedding_width: int
    feed_forward_width: int
    heads: int
    has_window: bool
    layers: tuple[Layer, ...]


class _Latest:
    """The shape made last: a model is asked about three times in a row when it is listed."""

    def __init__(self) -> None:
        self._made: tuple[ModelSpec, ModelShape] | None = None

    def of(self, spec: ModelSpec) -> ModelShape:
        made = self._made
        if made is None or not _is_alike(made[0], spec):
            # One assignment of both: threads share it, and none may see one's shape as another's.
            made = self._made = spec, _shape_of(spec)
        return made[1]


_latest = _Latest()


def shape_of(spec: ModelSpec) -> ModelShape:
    """Return the shape of a model. What the header does not say counts as 0, if nothing judges."""
    return _latest.of(spec)


def _is_alike(spec: ModelSpec, other: ModelSpec) -> bool:
    """Return whether both have one header, and whatever else a shape is made of."""
    return (
        spec.metadata is other.metadata
        and spec.family == other.family
        and spec.size_bytes == other.size_bytes
        and spec.weights_bytes == other.weights_bytes
        and spec.context_length == other.context_length
    )


def _shape_of(spec: ModelSpec) -> ModelShape:
    header = Header(spec)
    weights_bytes = spec.weights_bytes or spec.size_bytes
    tokenizer_bytes = max(0, spec.size_bytes - weights_bytes)
    return ModelShape(
        family=header.family,
        trained_length=spec.context_length,
        weights_bytes=weights_bytes,
        tokenizer_bytes=tokenizer_bytes,
        vocabulary=_vocabulary(header, tokenizer_bytes),
        causal=header.value("attention.causal") is not False and header.family not in ENCODERS,
        pooling_type=header.number("pooling_type"),
        embedding_width=header.number("embedding_length"),
        feed_forward_width=_feed_forward_width(header),
        heads=header.number("attention.head_count"),
        has_window=header.number("attention.sliding_window") > 0,
        layers=_layers(header),
    )


def _vocabulary(header: Header, tokenizer_bytes: int) -> int:
    """Return the number of tokens. Where it is not said, what they take in the file judges it."""
    judged = tokenizer_bytes // _TOKEN_BYTES.get(header.tokenizer_kind(), _OTHER_TOKEN_BYTES)
    return header.number("vocab_size", judged or LARGEST_VOCABULARY)


def _feed_forward_width(header: Header) -> int:
    width = header.number("feed_forward_length")
    experts = header.number("expert_used_count")
    shared = header.number("expert_shared_feed_forward_length")
    return max(width, experts * header.number("expert_feed_forward_length", width) + shared)


def _layers(header: Header) -> tuple[Layer, ...]:
    state = _state_numbers(header)
    recurrent = _recurrent_layers(header, state)
    attending = _attention_layers(header, recurrent)
    return tuple(
        Layer(key=key if attends else 0, value=value if attends else 0, state=state if keeps else 0)
        for attends, keeps, (key, value) in zip(
            attending, recurrent, _key_and_value_widths(header), strict=True
        )
    )


def _recurrent_layers(header: Header, state: int) -> list[bool]:
    """Return of each layer whether it keeps a state of one size instead of all tokens."""
    if header.family in _PURELY_RECURRENT | _BOTH_IN_EACH_LAYER:
        return [True] * header.layers
    if header.family in _INTERVAL_FAMILIES:
        interval = header.number("full_attention_interval") or _FULL_ATTENTION_INTERVAL
        return [(layer + 1) % interval != 0 for layer in range(header.layers)]
    if not state:
        return [False] * header.layers
    # Of a hybrid, the layers without heads are recurrent, but for those that only feed forward.
    # These are told apart only where the header has a width for each layer.
    heads = header.per_layer("attention.head_count_kv")
    widths = [0] * header.layers
    if header.differs_by_layer("feed_forward_length"):
        widths = header.per_layer("feed_forward_length")
    return [not head and not width for head, width in zip(heads, widths, strict=True)]


def _attention_layers(header: Header, recurrent: list[bool]) -> list[bool]:
    """Return of each layer whether it keeps keys and values of all tokens."""
    if header.family in _BOTH_IN_EACH_LAYER:
        return [True] * header.layers
    own = header.layers - header.number("attention.shared_kv_layers")
    own -= header.number("nextn_predict_layers")  # these have no cells in the KV cache
    return [layer < own and not is_recurrent for layer, is_recurrent in enumerate(recurrent)]


def _state_numbers(header: Header) -> int:
    """Return how many numbers the state of one sequence in one recurrent layer has."""
    width, heads = header.number("embedding_length"), header.number("attention.head_count")
    convolved = max(0, header.number("ssm.conv_kernel") - 1)
    if wkv := header.number("wkv.head_size"):
        return width * (header.number("token_shift_count", 2) + wkv)
    if short := header.number("shortconv.l_cache"):
        return width * (short - 1)
    if kda := header.number("kda.head_dim"):
        return heads * kda * (3 * convolved + kda)
    inner, state = header.number("ssm.inner_size"), header.number("ssm.state_size")
    return convolved * (inner + 2 * header.number("ssm.group_count") * state) + inner * state


def _key_and_value_widths(header: Header) -> list[tuple[int, int]]:
    """Return of each layer how many numbers the key and the value of one token would have."""
    heads = header.number("attention.head_count")
    width = header.number("embedding_length") // heads if heads else 0
    key = header.number("attention.key_length", width)
    value = header.number("attention.value_length", width)
    if header.number("attention.key_length_mla") and header.number("attention.value_length_mla"):
        value = 0  # latent attention: the value is a part of the key
    windowed = (
        header.number("attention.key_length_swa", key),
        header.number("attention.value_length_swa", value),
    )
    return [
        (count * of_key, count * of_value)
        for count, (of_key, of_value) in zip(
            header.per_layer("attention.head_count_kv", heads),
            [windowed if slides else (key, value) for slides in _sliding_layers(header)],
            strict=True,
        )
    ]


def _sliding_layers(header: Header) -> list[bool]:
    pattern = header.value("attention.sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) == header.layers:
        return [bool(slides) for slides in pattern]
    return [False] * header.layers
