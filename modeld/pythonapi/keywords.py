# SPDX-License-Identifier: GPL-3.0-only
"""Makes requests from the keyword arguments of a program.

Only the form is changed here: a text becomes a list of one, plain dictionaries stay what they are.
What is right is said by the tables that the wire goes by (:mod:`modeld.validation`), and a keyword
that is ``None`` counts as left out, as a field that is null does there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from modeld.errors import InvalidRequestError
from modeld.expectation import nearest
from modeld.messages import Reasoning, ToolChoice
from modeld.pythonapi.options import AnyMessage
from modeld.requests import AnyUnaryRequest, GenerateRequest, Sampling
from modeld.sampling import COMMON, SamplingParameter, is_pairs
from modeld.validation import checked_request, checked_unary_request

_POSITIONAL: Final = frozenset({"model", "prompt", "prompt_tokens", "messages"})
_COMMON: Final = {row.name: row for row in COMMON}
_STREAM: Final = "; stream_chat and stream_generate yield the chunks as they come"

U = TypeVar("U", bound=AnyUnaryRequest)


class Keywords:
    """Knows which keywords there are; ``own`` are the parameters that the backends declare."""

    def __init__(self, own: Iterable[SamplingParameter] = ()) -> None:
        self._own = frozenset(row.name for row in own)
        members = [name for name in GenerateRequest.__struct_fields__ if name not in _POSITIONAL]
        self._known = (*members, *_COMMON, *self._own)

    def prompt(
        self, model: str, prompt: str | Sequence[int], options: Mapping[str, object]
    ) -> GenerateRequest:
        """Return a request for how a prompt, or its tokens, go on.

        Raises:
            InvalidRequestError: a keyword is unknown, or a value is wrong; ``field`` names it.
        """
        name = "prompt_tokens" if isinstance(prompt, list | tuple) else "prompt"
        return self._request(model, {name: prompt}, options)

    def chat(
        self, model: str, messages: Sequence[AnyMessage], options: Mapping[str, object]
    ) -> GenerateRequest:
        """Return a request for the model's turn in a chat.

        Raises:
            InvalidRequestError: a keyword is unknown, or a value is wrong; ``field`` names it.
        """
        return self._request(model, {"messages": plain_messages(messages)}, options)

    def _request(
        self, model: str, subject: Mapping[str, object], options: Mapping[str, object]
    ) -> GenerateRequest:
        _refuse_unknown(options, self._known)
        given = {name: value for name, value in options.items() if value is not None}
        sampling = self._sampling(given)
        members: dict[str, Any] = {"request_id": uuid.uuid4().hex, **subject, **_plain(given)}
        return checked_request(GenerateRequest(model=model, sampling=sampling, **members))

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        """Take what says how tokens are chosen out of ``given``, and return it as one value."""
        names = [name for name in given if name in _COMMON or name in self._own]
        taken = {name: given.pop(name) for name in names}
        whole = given.pop("sampling", None)
        if whole is not None:
            for name in taken:
                raise _wrong(name, "set it in sampling, which is given too")
            if not isinstance(whole, Sampling):
                raise _wrong("sampling", f"expected a Sampling, got a {type(whole).__name__}")
            return whole
        own = {name: value for name, value in taken.items() if name in self._own}
        common = {
            name: _written(_COMMON[name], value)
            for name, value in taken.items()
            if name not in self._own
        }
        return Sampling(**common, own=own)


def unary(kind: type[U], options: Mapping[str, object], **members: object) -> U:
    """Return a unary request of a kind from its own members and from what else is said.

    Raises:
        InvalidRequestError: a keyword is unknown, or a value is wrong; ``field`` names it.
    """
    known = [name for name in kind.__struct_fields__ if name not in members]
    _refuse_unknown(options, known)
    given = {name: value for name, value in options.items() if value is not None}
    said: dict[str, Any] = {"request_id": uuid.uuid4().hex, **members, **_plain(given)}
    request = checked_unary_request(kind(**said))
    assert isinstance(request, kind)  # it is checked, not changed
    return request


def listed(given: Any) -> Any:
    """Return a tuple of one text for a text alone."""
    return (given,) if isinstance(given, str) else given


def plain_messages(messages: Any) -> Any:
    """Return a chat without the members that are ``None``.

    Raises:
        InvalidRequestError: a turn says nothing: neither content nor calls of tools.
    """
    if not isinstance(messages, list | tuple):
        return messages
    return [_message(message, at) for at, message in enumerate(messages)]


def _message(given: Any, at: int) -> Any:
    if not isinstance(given, Mapping):
        return given
    message = _without_none(given)
    if "content" not in message and not message.get("tool_calls"):
        raise _wrong(f"messages[{at}].content", "must be given")
    for name in ("content", "tool_calls"):
        if isinstance(message.get(name), list | tuple):
            message[name] = [_without_none(each) for each in message[name]]
    return message


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """Return members in the form that they have in a request."""
    plain = {name: _without_none(value) for name, value in given.items() if name in _NESTED}
    members = {**given, **plain}
    if "stop" in members:
        members["stop"] = listed(members["stop"])
    if isinstance(members.get("tools"), list | tuple):
        members["tools"] = [_without_none(tool) for tool in members["tools"]]
    if isinstance(members.get("tool_choice"), str):
        members["tool_choice"] = ToolChoice(mode=members["tool_choice"])
    if isinstance(members.get("reasoning"), bool):
        members["reasoning"] = Reasoning(enabled=members["reasoning"])
    return members


_NESTED: Final = frozenset({"tool_choice", "reasoning"})


def _without_none(given: Any) -> Any:
    """Return a dictionary without the members that are ``None``, and anything else as it is."""
    if not isinstance(given, Mapping):
        return given
    return {name: value for name, value in given.items() if value is not None}


def _written(row: SamplingParameter, given: Any) -> Any:
    """Return a parameter's value for what a program says, which may be what the wire does."""
    if not is_pairs(row.kind):
        return row.value_of(given)
    if not isinstance(given, Mapping):
        return given
    return tuple((_number(key), None if bias is False else bias) for key, bias in given.items())


def _number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _refuse_unknown(options: Mapping[str, object], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            hint = _STREAM if name == "stream" else nearest(name, list(known))
            raise _wrong(name, f"unknown keyword{hint}")


def _wrong(field: str, words: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: {words}", field=field)
