# SPDX-License-Identifier: GPL-3.0-only
"""The kinds of servers: what each serves beyond OpenAI's API, and what it calls that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from modeld.capabilities import Capability
from modeld.messages import Reasoning
from modeld.requests import GenerateRequest
from modeld_upstream.wire import constraints as forms
from modeld_upstream.wire import reasoning as thinking

KindName: TypeAlias = Literal[
    "generic", "openai", "llama-server", "vllm", "sglang", "lm-studio", "modeld"
]

Fields: TypeAlias = dict[str, Any]

CHATS: Final = frozenset(
    {
        Capability.TEXT,
        Capability.CHAT,
        Capability.PARTS,
        Capability.NAMES,
        Capability.TOOLS,
        Capability.REASONING,
        Capability.LOGPROBS,
        Capability.JSON_SCHEMA,
    }
)
"""What a model for chats serves on a server of any kind."""

ANY: Final = CHATS | {
    Capability.TOKEN_IDS,
    Capability.TEMPLATE_KWARGS,
    Capability.VISION,
    Capability.AUDIO,
    Capability.EMBED,
    Capability.RERANK,
}
"""What there is one way to ask for, so that it depends on the model and not on the kind."""

_OPEN_WEIGHTS: Final = CHATS | {Capability.TOKEN_IDS, Capability.TEMPLATE_KWARGS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """What is to be known of one kind of server.

    ``unserved_sampling`` are members of ``Sampling`` that it does not have, ``sampling_names`` what
    it calls others. ``limit`` is its word for ``max_tokens``; ``unlimited`` is what it takes for a
    prompt without a limit, and empty where it would end after a few tokens. ``constraints`` makes
    fields of each constraint, ``reasoning`` of how much a model thinks. ``banned`` is what bans a
    token in ``logit_bias``. ``shares_by_salt`` and ``may_skip_cache`` say whether it has
    ``cache_salt`` and ``cache_prompt``. ``root_health`` is the address that says whether it is
    ready, below its root; where it has none, its list of models does.
    """

    name: KindName
    capabilities: frozenset[Capability] = CHATS
    unserved_sampling: tuple[str, ...] = ()
    sampling_names: Mapping[str, str] = field(default_factory=dict)
    limit: str = "max_tokens"
    unlimited: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, Callable[[GenerateRequest], Fields]] = field(default_factory=dict)
    reasoning: Callable[[Reasoning], Fields] = thinking.by_effort
    continues: Mapping[str, Any] = field(default_factory=dict)
    banned: float | bool = -100.0
    has_allowed_tools: bool = False
    shares_by_salt: bool = False
    may_skip_cache: bool = False
    root_health: str = ""


_CONTINUES: Final = MappingProxyType(
    {"continue_final_message": True, "add_generation_prompt": False}
)
_REPETITION: Final = MappingProxyType({"repeat_penalty": "repetition_penalty"})
_SCHEMA_OF_CHATS: Final = MappingProxyType({"json_schema": forms.schema_of_chat})

GENERIC: Final = Kind(
    name="generic",
    unserved_sampling=("top_k", "min_p", "repeat_penalty", "ignore_eos"),
    constraints=_SCHEMA_OF_CHATS,
)
OPENAI: Final = Kind(
    name="openai",
    unserved_sampling=GENERIC.unserved_sampling,
    limit="max_completion_tokens",
    constraints=_SCHEMA_OF_CHATS,
    has_allowed_tools=True,
)
LM_STUDIO: Final = Kind(
    name="lm-studio",
    unserved_sampling=("min_p", "ignore_eos"),
    constraints=_SCHEMA_OF_CHATS,
)
LLAMA_SERVER: Final = Kind(
    name="llama-server",
    capabilities=_OPEN_WEIGHTS
    | {
        Capability.CONTINUE_LAST,
        Capability.GRAMMAR,
        Capability.TOKENIZE,
        Capability.TEMPLATE,
    },
    unlimited=MappingProxyType({"max_tokens": -1}),
    constraints=MappingProxyType(
        {"json_schema": forms.schema_of_llama_server, "grammar": forms.plain("grammar")}
    ),
    reasoning=thinking.of_llama_server,
    continues=_CONTINUES,
    banned=False,
    may_skip_cache=True,
    root_health="/health",
)
VLLM: Final = Kind(
    name="vllm",
    capabilities=_OPEN_WEIGHTS
    | {
        Capability.CONTINUE_LAST,
        Capability.REGEX,
        Capability.CHOICE,
        Capability.GRAMMAR,
        Capability.TOKENIZE,
    },
    sampling_names=_REPETITION,
    unlimited=MappingProxyType({"max_tokens": None}),
    constraints=MappingProxyType(
        {
            "json_schema": forms.schema,
            **{name: forms.structured(name) for name in ("regex", "choice", "grammar")},
        }
    ),
    reasoning=thinking.by_template,
    continues=_CONTINUES,
    shares_by_salt=True,
    root_health="/health",
)
SGLANG: Final = Kind(
    name="sglang",
    capabilities=_OPEN_WEIGHTS | {Capability.CONTINUE_LAST, Capability.REGEX, Capability.GRAMMAR},
    sampling_names=_REPETITION,
    constraints=MappingProxyType(
        {
            "json_schema": forms.schema_of_chat,
            "regex": forms.plain("regex"),
            "grammar": forms.plain("grammar", "ebnf"),
        }
    ),
    reasoning=thinking.by_template,
    continues=MappingProxyType({"continue_final_message": True}),
    root_health="/health",
)
MODELD: Final = Kind(
    name="modeld",
    capabilities=_OPEN_WEIGHTS
    | {
        Capability.CONTINUE_LAST,
        Capability.GRAMMAR,
        Capability.REGEX,
        Capability.LARK,
        Capability.CHOICE,
        Capability.TOKENIZE,
    },
    unlimited=MappingProxyType({"max_tokens": 2**31}),
    constraints=MappingProxyType(
        {
            "json_schema": forms.schema_of_chat,
            **{name: forms.plain(name) for name in ("grammar", "regex", "lark", "choice")},
        }
    ),
    reasoning=thinking.of_modeld,
    continues=MappingProxyType({"continue_final_message": True}),
    banned=False,
    has_allowed_tools=True,
    shares_by_salt=True,
    may_skip_cache=True,
    root_health="/healthz",
)

KINDS: Final[Mapping[KindName, Kind]] = {
    kind.name: kind for kind in (GENERIC, OPENAI, LLAMA_SERVER, VLLM, SGLANG, LM_STUDIO, MODELD)
}
"""All kinds by name."""
