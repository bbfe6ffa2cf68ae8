# SPDX-License-Identifier: GPL-3.0-only
"""Checks that declared capabilities are served, and that others are refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from modeld import Capability, Engine, GenerateRequest, Message, Sampling
from modeld.capabilities import check as check_declared
from modeld.errors import ModeldError, NotSupportedError, TemplateError
from modeld.messages import AudioPart, ImagePart, Reasoning, TextPart, Tool, ToolChoice
from modeld.requests import AnyRequest, TokenizeRequest
from modeld.responses import FinishReason, TokenizeResponse, ToolCallDelta
from modeld.testing.backend.generating import ENDS
from modeld.testing.backend.subject import BackendSubject, Generation, collect
from modeld.testing.contract import DisclaimedError, UntestedError, assert_that, check
from modeld.testing.contracts.media import a_sound, an_image

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["b"]}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL = Tool(name="look_up", description="looks a word up", parameters=SCHEMA)

Judge = Callable[[Generation], None]


class CapabilitySubject(BackendSubject):
    """How a capability is looked at: with a request that asks for it."""

    @asynccontextmanager
    async def with_capability(
        self, capability: Capability, request: AnyRequest
    ) -> AsyncIterator[Engine]:
        """Yield an engine where the capability is declared; else see that it is refused.

        Raises:
            DisclaimedError: it is not declared, and the request is refused by name.
            UntestedError: the model has no chat template.
        """
        declared = self.declared
        if capability in declared:
            async with self.loaded() as engine:
                try:
                    yield engine
                except TemplateError as exc:  # that one is missing is not known before a load
                    raise UntestedError(f"{exc.message}; take a model with a template") from exc
            return
        spec, options = self.spec, self.typed_options
        try:
            check_declared(
                request,
                declared,
                partial(self.backend.advice, spec=spec, options=options),
            )
        except NotSupportedError as exc:
            raise DisclaimedError(f"refused: {exc.message}") from exc
        raise AssertionError(f"{capability.value!r} is not declared, and nothing refuses it")

    def asked(self, **members: Any) -> GenerateRequest:
        """Return a request that need not be declared, for what it asks beside text."""
        if not members.keys() & {"prompt", "prompt_tokens", "messages"}:
            if Capability.TEXT in self.declared:
                members["prompt"] = self.prompt
            else:
                members["messages"] = (self.said(),)
        sampling = members.pop("sampling", self.steady(is_endless=False))
        return GenerateRequest(
            **({"model": self.spec.id, "max_tokens": 48, "sampling": sampling} | members)
        )

    def said(self, **members: Any) -> Message:
        """Return what a user says in a chat."""
        return Message(**({"role": "user", "content": self.prompt} | members))

    async def judged(
        self, capability: Capability, request: GenerateRequest, judge: Judge = lambda _found: None
    ) -> None:
        """Have the request served, and judge what came of it."""
        async with self.with_capability(capability, request) as engine:
            found = await collect(engine, request)
            assert_that(found.done, f"a request with {capability.value} ended without a Done")
            judge(found)

    async def tolerated(self, capability: Capability, name: str, request: GenerateRequest) -> None:
        """Have the request served or refused by name: not every template knows it."""
        try:
            await self.judged(capability, request)
        except ModeldError as exc:
            assert_that(
                exc.field is not None and exc.field.startswith(name),
                f"{name} was refused with the field {exc.field!r}: {exc.message}; name it",
            )


class CapabilityChecks(CapabilitySubject):
    """One check for each capability of a request for text."""

    @check(ENDS)
    async def test_serves_text(self) -> None:
        """A prompt is continued."""
        await self.judged(Capability.TEXT, self.asked(prompt=self.prompt))

    @check(ENDS)
    async def test_serves_token_ids(self) -> None:
        """A prompt of tokens is taken as it is."""
        ids: tuple[int, ...] = (1, 2, 3)
        async with self.with_capability(
            Capability.TOKEN_IDS, self.asked(prompt_tokens=ids)
        ) as engine:
            self.request()
            if Capability.TOKENIZE in self.declared:
                tokens = await engine.submit(TokenizeRequest(text=self.prompt))
                assert isinstance(tokens, TokenizeResponse)
                ids = tokens.ids
            found = await collect(engine, self.asked(prompt_tokens=ids, max_tokens=2))
            assert found.done is not None
            counted = found.done.usage.prompt_tokens
            assert_that(
                counted in {0, len(ids)},
                f"a prompt of {len(ids)} tokens was counted as {counted}; add nothing to it",
            )

    @check(ENDS)
    async def test_serves_chat(self) -> None:
        """Messages are taken."""
        await self.judged(Capability.CHAT, self.asked(messages=(self.said(),)))

    @check(ENDS)
    async def test_serves_parts(self) -> None:
        """A message's content may be a list of texts."""
        if Capability.PARTS not in self.declared:
            raise DisclaimedError("not declared: modeld joins the texts of a message")
        parts = (TextPart(text="One."), TextPart(text=self.prompt))
        await self.judged(Capability.PARTS, self.asked(messages=(self.said(content=parts),)))

    @check(ENDS)
    async def test_serves_names(self) -> None:
        """A message may say whose it is."""
        await self.judged(Capability.NAMES, self.asked(messages=(self.said(name="ann"),)))

    @check(ENDS)
    async def test_serves_vision(self) -> None:
        """Images are taken."""
        parts = (TextPart(text=self.prompt), ImagePart(data=an_image(), media_type="image/png"))
        await self.judged(Capability.VISION, self.asked(messages=(self.said(content=parts),)))

    @check(ENDS)
    async def test_serves_audio(self) -> None:
        """Sounds are taken."""
        parts = (TextPart(text=self.prompt), AudioPart(data=a_sound(), media_type="audio/wav"))
        await self.judged(Capability.AUDIO, self.asked(messages=(self.said(content=parts),)))

    @check(ENDS)
    async def test_serves_tools(self) -> None:
        """A tool that has to be called is called, with an object for its arguments."""
        request = self.asked(
            messages=(self.said(),),
            tools=(TOOL,),
            tool_choice=ToolChoice(mode="required"),
            max_tokens=128,
        )
        await self.judged(Capability.TOOLS, request, _check_call)

    @check(ENDS)
    async def test_serves_reasoning(self) -> None:
        """It can be asked for, or is refused by name where the template knows none."""
        request = self.asked(messages=(self.said(),), reasoning=Reasoning(enabled=True))
        await self.tolerated(Capability.REASONING, "reasoning", request)

    @check(ENDS)
    async def test_serves_template_kwargs(self) -> None:
        """Variables go to the template, or are refused by name."""
        request = self.asked(messages=(self.said(),), template_kwargs={"custom": "a"})
        await self.tolerated(Capability.TEMPLATE_KWARGS, "template_kwargs", request)

    @check(ENDS)
    async def test_serves_continue_last(self) -> None:
        """The model's own last message is gone on with."""
        begun = Message(role="assistant", content="Once upon a")
        request = self.asked(messages=(self.said(), begun), continue_last=True)
        await self.judged(Capability.CONTINUE_LAST, request)

    @check(ENDS)
    async def test_serves_logprobs(self) -> None:
        """Each token has its probability and those of the likeliest ones, if it was asked for."""
        await self.judged(Capability.LOGPROBS, self.asked(logprobs=2), _check_logprobs)
        async with self.loaded() as engine:
            found = await collect(engine, self.asked(max_tokens=2))
            assert_that(
                not any(piece.logprobs for piece in found.pieces),
                "logprobs came that nobody had asked for",
            )

    @check(ENDS)
    async def test_serves_json_schema(self) -> None:
        """What is generated conforms to a JSON schema."""
        await self.judged(
            Capability.JSON_SCHEMA,
            self.asked(json_schema=SCHEMA),
            _is('{"a":"b"}', lambda text: _json(text) == {"a": "b"}),
        )

    @check(ENDS)
    async def test_serves_grammar(self) -> None:
        """What is generated conforms to a grammar in GBNF."""
        request = self.asked(grammar='root ::= "xyz"')
        await self.judged(Capability.GRAMMAR, request, _is("xyz", lambda text: text == "xyz"))

    @check(ENDS)
    async def test_serves_regex(self) -> None:
        """What is generated matches a regular expression."""
        matches = _is("three letters", lambda text: re.fullmatch("[a-c]{3}", text) is not None)
        await self.judged(Capability.REGEX, self.asked(regex="[a-c]{3}"), matches)

    @check(ENDS)
    async def test_serves_lark(self) -> None:
        """What is generated conforms to a grammar in Lark's notation."""
        request = self.asked(lark='start: "xyz"')
        await self.judged(Capability.LARK, request, _is("xyz", lambda text: text == "xyz"))

    @check(ENDS)
    async def test_serves_choice(self) -> None:
        """What is generated is one of some texts."""
        request = self.asked(choice=("yes", "no"), sampling=Sampling())
        await self.judged(
            Capability.CHOICE, request, _is("yes or no", lambda text: text in {"yes", "no"})
        )


def _check_call(found: Generation) -> None:
    calls = [piece for piece in found.pieces if isinstance(piece, ToolCallDelta)]
    assert found.done is not None
    assert_that(
        calls or found.done.finish_reason is FinishReason.LENGTH,
        "a tool had to be called, and none was; yield a ToolCallDelta",
    )
    if not calls:
        return
    assert_that(
        calls[0].name == TOOL.name and calls[0].id,
        f"the first part of a call is {calls[0]!r}; it must have an id and the tool's name",
    )
    if found.done.finish_reason is FinishReason.LENGTH:
        return
    assert_that(
        found.done.finish_reason is FinishReason.TOOL_CALLS,
        f"tools were called, and the finish_reason is {found.done.finish_reason!r}",
    )
    written = "".join(each.arguments for each in calls if each.index == calls[0].index)
    assert_that(
        isinstance(_json(written), dict),
        f"the arguments of a call are {written!r}; all parts together must be a JSON object",
    )


def _check_logprobs(found: Generation) -> None:
    assert found.done is not None
    probable = [each for piece in found.pieces for each in piece.logprobs]
    probable += found.done.logprobs
    counted = found.done.usage.completion_tokens
    assert_that(
        counted - 1 <= len(probable) <= counted,
        f"{counted} tokens came with {len(probable)} logprobs; each token has one (the one that"
        " ends a generation may have none)",
    )
    for each in probable:
        likely = (each.chosen, *each.top)
        assert_that(
            len(each.top) <= 2 and all(one.logprob <= 0 for one in likely),
            f"{each!r} is wrong: logprobs are not above 0, and 2 of the likeliest were asked for",
        )


def _is(due: str, fits: Callable[[str], bool]) -> Judge:
    """Return what judges the whole text, where nothing has cut it."""

    def judge(found: Generation) -> None:
        assert found.done is not None
        is_cut = found.done.finish_reason is FinishReason.LENGTH
        assert_that(
            is_cut or fits(found.text),
            f"{found.text!r} came where {due} was due; obey the constraint, or do not declare it",
        )

    return judge


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
