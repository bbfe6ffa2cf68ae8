# SPDX-License-Identifier: GPL-3.0-only
"""What the bodies have in common."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Discriminator, Field, Tag, create_model

from modeld.constraints import fault_of_schema
from modeld.dialects.body import MAX_TIMEOUT_S, Strict, refused, usable, wrong
from modeld.messages import Reasoning
from modeld_ollama.models.catalogue import Named
from modeld_ollama.text.durations import KeepAliveTime
from modeld_ollama.text.options import OllamaOptions

MAX_LOGPROBS = 20


def _is_object(given: Any) -> str:
    return "~schema" if isinstance(given, dict) else "~word"


def _is_level(given: Any) -> str:
    return "~level" if isinstance(given, str) else "~switch"


Format = Annotated[
    Annotated[Literal["", "json"], Tag("~word")]
    | Annotated[dict[str, Any], usable(fault_of_schema), Tag("~schema")],
    Discriminator(_is_object),
]
Think = Annotated[
    Annotated[bool, Tag("~switch")]
    | Annotated[Literal["low", "medium", "high", "max"], Tag("~level")],
    Discriminator(_is_level),
]


class OllamaBody(Strict):
    """Base of the bodies that a model serves. A field that is null counts as left out."""

    model: str | None = Field(
        None,
        max_length=512,
        description="id from GET /models, or a name of it; without it the default model",
    )
    options: OllamaOptions | None = Field(None, description="how tokens are chosen")
    keep_alive: KeepAliveTime | None = Field(
        None,
        description="how long the model stays in memory afterwards: seconds, or a text like `5m`;"
        " below zero for ever",
    )
    timeout_s: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_S, description="longest time for the whole request, in seconds"
    )

    fit: bool | None = Field(
        None,
        description="false refuses the request where its model can be had only with less than it is"
        " configured for, because it would never fit otherwise",
    )

    def check_context(self, named: Named) -> None:
        """Refuse a context that the model does not have.

        Raises:
            InvalidRequestError: the client counts on a larger one, or it is not known.
        """
        wanted = None if self.options is None else self.options.num_ctx
        if wanted is None or named.spec is None:
            return
        most = named.spec.context
        if most is None:
            raise wrong("options.num_ctx", "the model's context is not known; leave it out")
        if wanted > most:
            raise wrong(
                "options.num_ctx",
                f"the model has a context of {most}; send at most that, leave it out, or set a"
                " larger `context` for the model in the settings",
            )


class GenerationBody(OllamaBody):
    """Base of the bodies that ask for text."""

    elsewhere = {
        **dict.fromkeys(OllamaOptions.model_fields, "it stands in `options` here"),
        **dict.fromkeys(
            ("max_tokens", "max_completion_tokens", "max_output_tokens"),
            'send `options`: {"num_predict": …}',
        ),
        "input": "send `messages` to /api/chat, or `prompt` to /api/generate",
        "messages": "send `prompt`, or the chat to /api/chat",
        "prompt": "send `messages`, or the prompt to /api/generate",
        "keep_alive_s": "it is called `keep_alive` here",
        "reasoning_effort": "send `think`",
        "response_format": "send `format`",
        "stop_sequences": 'send `options`: {"stop": […]}',
        "system": "send a message of the role system",
        "thinking": "send `think`",
        "tool_choice": "is not served: the model chooses",
    }

    stream: bool | None = Field(
        None, description="true (the default) sends a line for each piece; false one object"
    )
    format: Format | None = Field(
        None, description="`json` for any object, or a JSON schema that the text conforms to"
    )
    think: Think | None = Field(
        None, description="whether the model thinks first: true, false, or how much, like `low`"
    )
    logprobs: bool | None = Field(None, description="true sends the probability of each token")
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="with `logprobs`: so many of the likeliest tokens too"
    )
    truncate: Annotated[
        None,
        refused("only false: a prompt that is too long is refused, not cut", but=(False,)),
    ] = None
    shift: Annotated[
        None, refused("only false: a generation ends where the context is full", but=(False,))
    ] = None

    def members(self, named: Named, request_id: str) -> dict[str, Any]:
        """Return what all requests for the service have.

        Raises:
            InvalidRequestError: two fields contradict each other.
        """
        return {
            **(self.options.members() if self.options is not None else {}),
            "model": named.id,
            "json_schema": {"type": "object"} if self.format == "json" else self.format or None,
            "reasoning": self._reasoning(),
            "logprobs": self._logprobs(),
            "timeout_s": self.timeout_s,
            "keep_alive_s": self.keep_alive,
            "fit": self.fit is not False,
            "request_id": request_id,
        }

    def _reasoning(self) -> Reasoning:
        if isinstance(self.think, str):
            return Reasoning(enabled=True, effort=self.think)
        return Reasoning(enabled=self.think)

    def _logprobs(self) -> int | None:
        if self.logprobs is True:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise wrong("top_logprobs", "needs logprobs to be true")
        return None


B = TypeVar("B", bound=OllamaBody)


def with_options(body: type[B], options: type[OllamaOptions]) -> type[B]:
    """Return the body of the same name whose options are these, made once for both."""
    return cast("type[B]", _with_options(body, options))


@lru_cache
def _with_options(body: type[OllamaBody], options: type[OllamaOptions]) -> type[OllamaBody]:
    field: Any = (options | None, Field(None, description=body.model_fields["options"].description))
    return create_model(
        body.__name__,
        __base__=body,
        __module__=body.__module__,
        __doc__=body.__doc__,
        options=field,
    )
