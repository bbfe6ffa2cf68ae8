# SPDX-License-Identifier: GPL-3.0-only
"""Requests to a model: generations, and requests with a single response.

A unary request has one response and is never streamed. Like all values these are plain data that
can be sent to another process or machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from modeld.errors import NotSupportedError
from modeld.messages import Chat, Messages, Reasoning, ToolChoice, Tools
from modeld.values import Value

ModelId = Annotated[str, msgspec.Meta(max_length=512)]
"""A registry id, or nothing for the configured default."""

TimeoutSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
MAX_KEEP_ALIVE_S: Final = 31_536_000
KeepAliveSeconds: TypeAlias = (
    Annotated[float, msgspec.Meta(ge=0, le=MAX_KEEP_ALIVE_S)] | Literal["forever"]
)
"""A time in which a model need not be used; a word and no infinity, which JSON does not have."""

TokenCount = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
LogprobCount = Annotated[int, msgspec.Meta(ge=0, le=20)]
TokenIds = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)], ...], msgspec.Meta(max_length=131_072)
]
CacheSalt = Annotated[str, msgspec.Meta(max_length=256)]
StopTexts = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=256)], ...],
    msgspec.Meta(max_length=16),
]
Choices = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
    msgspec.Meta(min_length=1, max_length=1024),
]
TokenBias = tuple[
    Annotated[int, msgspec.Meta(ge=0, le=999_999_999)],
    Annotated[float, msgspec.Meta(ge=-100, le=100)] | None,
]
PositiveShare = Annotated[float, msgspec.Meta(gt=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]


class Sampling(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next token is chosen. ``None`` leaves the choice to the engine's default.

    The class is the table of what every engine knows: a field's annotation gives its type, range
    and help, and from these the wire, the command line and the documents are made (see
    :mod:`modeld.sampling`). ``own`` has the parameters that only the model's backend knows, by
    name and as plain data; :attr:`modeld.Backend.sampling_type` declares them.

    ``logit_bias`` pairs tokens with what is added to their logits; minus infinity is written as
    ``None`` and bans the token.
    """

    temperature: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=5)] | None,
        msgspec.Meta(description="0 always takes the most likely token; higher is more varied"),
    ] = None
    top_p: Annotated[
        PositiveShare | None,
        msgspec.Meta(description="keep the likeliest tokens with this much probability; 1: all"),
    ] = None
    top_k: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None,
        msgspec.Meta(description="keep this many of the likeliest tokens; 0: all"),
    ] = None
    min_p: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        msgspec.Meta(
            description="drop tokens less likely than this part of the likeliest one's; 0: none"
        ),
    ] = None
    repeat_penalty: Annotated[
        Annotated[float, msgspec.Meta(ge=0.01, le=10)] | None,
        msgspec.Meta(description="above 1 makes repeating less likely; 1: off"),
    ] = None
    presence_penalty: Annotated[
        Penalty | None,
        msgspec.Meta(description="taken off the logit of every token that was there; 0: off"),
    ] = None
    frequency_penalty: Annotated[
        Penalty | None, msgspec.Meta(description="the same for each time that it was there; 0: off")
    ] = None
    logit_bias: Annotated[
        tuple[TokenBias, ...],
        msgspec.Meta(
            max_length=300,
            description="token ids, as texts, to what is added to their logits; false: never",
        ),
    ] = ()
    ignore_eos: Annotated[
        bool, msgspec.Meta(description="go on where the model would end the generation")
    ] = False
    seed: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**32 - 2)] | None,
        msgspec.Meta(
            description="makes the generation repeatable; without it, or with -1, random",
            extra={"unset": -1},
        ),
    ] = None
    own: Mapping[str, Any] = {}


class BackendSampling(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backend knows about choosing tokens beyond :class:`Sampling`; it derives from this.

    Each field is a number, a truth value, a text, one of some texts, or a tuple of texts, each
    with ``| None`` and the default ``None``; its ``Meta`` has the range and a description.
    """


SomeText = Annotated[str, msgspec.Meta(min_length=1)]


class GenerateRequest(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generate"):
    """A request for text. Exactly one of ``prompt``, ``prompt_tokens`` and ``messages`` is set.

    ``prompt_tokens`` are the ids of a prompt's tokens, to which nothing is added. With ``suffix``
    the generation is what stands between the ``prompt``, which may then be empty, and this text.

    ``model`` is a registry id; empty means the configured default. ``max_tokens`` of ``None``
    means as many as the context has room for. ``timeout_s`` bounds the whole request, waiting
    included. ``keep_alive_s`` is how long the model stays in memory unused after this request and
    those that leave it unset: 0 takes it out once its requests are over, ``forever`` never. Unset
    in all requests since its load, it is the setting ``max_idle_s``. ``fit`` says that the model
    may have been made to fit with less than it is configured for, where it can never fit otherwise;
    without it the request is refused then. ``request_id`` names the request in logs and errors.

    In a chat the model may call ``tools`` as ``tool_choice`` says, several at once where
    ``parallel_tool_calls`` allows it. ``template_kwargs`` are variables for the model's chat
    template. With ``continue_last`` the generation goes on with the last message, which is the
    model's own, as if it had not ended.

    ``json_schema``, ``grammar`` (GBNF), ``regex``, ``lark`` (a grammar in Lark's notation) or
    ``choice`` (texts of which it is one), at most one of them, is what the generation must conform
    to.
    ``logprobs`` of ``None`` asks for no probabilities, ``n`` for those of each chosen token and of
    the ``n`` likeliest ones. ``cache_prompt`` allows the engine to take parts of the prompt from
    its cache and to keep them there; requests share cached parts only if their ``cache_salt`` is
    the same.
    """

    model: ModelId = ""
    prompt: str | None = None
    prompt_tokens: TokenIds | None = None
    suffix: SomeText | None = None
    messages: Messages | None = None
    continue_last: bool = False
    tools: Tools = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    reasoning: Reasoning = Reasoning()
    template_kwargs: Mapping[str, Any] = {}
    max_tokens: TokenCount | None = None
    stop: StopTexts = ()
    sampling: Sampling = Sampling()
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    lark: str | None = None
    choice: Choices | None = None
    logprobs: LogprobCount | None = None
    cache_prompt: bool = True
    cache_salt: CacheSalt = ""
    timeout_s: TimeoutSeconds | None = None
    keep_alive_s: KeepAliveSeconds | None = None
    fit: bool = True
    request_id: str = ""


EmbedInput = SomeText | Annotated[TokenIds, msgspec.Meta(min_length=1)]
EmbedInputs = Annotated[tuple[EmbedInput, ...], msgspec.Meta(min_length=1, max_length=2048)]
RerankDocuments = Annotated[tuple[SomeText, ...], msgspec.Meta(min_length=1, max_length=1024)]


class UnaryRequest(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all unary requests.

    ``model`` is a registry id; empty means the configured default. ``timeout_s`` bounds the whole
    request, waiting included. ``keep_alive_s`` is how long the model stays in memory unused, and
    ``fit`` whether it may have been made to fit, as in a :class:`GenerateRequest`. ``request_id``
    names the request in logs and errors.
    """

    model: ModelId = ""
    timeout_s: TimeoutSeconds | None = None
    keep_alive_s: KeepAliveSeconds | None = None
    fit: bool = True
    request_id: str = ""


class EmbedRequest(UnaryRequest, frozen=True, kw_only=True, tag="embed"):
    """A request for the vectors of texts; ``normalize`` scales each of them to length 1.

    A text may also come as the ids of its tokens, to which nothing is added.
    """

    inputs: EmbedInputs
    normalize: bool = True


class RerankRequest(UnaryRequest, frozen=True, kw_only=True, tag="rerank"):
    """A request for how relevant each document is for the query."""

    query: SomeText
    documents: RerankDocuments


class TokenizeRequest(UnaryRequest, frozen=True, kw_only=True, tag="tokenize"):
    """A request for the tokens of a text.

    ``add_special`` puts those around it that the model was trained to see around a text;
    ``parse_special`` reads special tokens that are written out in it as such. ``with_pieces`` wants
    the bytes of each token too.
    """

    text: str
    add_special: bool = True
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(UnaryRequest, frozen=True, kw_only=True, tag="detokenize"):
    """A request for the text of tokens, special ones written out."""

    tokens: TokenIds


class ApplyTemplateRequest(UnaryRequest, frozen=True, kw_only=True, tag="apply_template"):
    """A request for the prompt that the model's chat template makes of a chat.

    The other members mean what they mean in a :class:`GenerateRequest`.
    """

    messages: Chat
    continue_last: bool = False
    tools: Tools = ()
    reasoning: Reasoning = Reasoning()
    template_kwargs: Mapping[str, Any] = {}


AnyUnaryRequest: TypeAlias = (
    EmbedRequest | RerankRequest | TokenizeRequest | DetokenizeRequest | ApplyTemplateRequest
)
AnyRequest: TypeAlias = GenerateRequest | AnyUnaryRequest


def not_supported(request: AnyRequest) -> NotSupportedError:
    """Return the error for a kind of request that an engine does not serve."""
    kind = request.__struct_config__.tag
    return NotSupportedError(f"the model's backend does not serve {kind} requests")
