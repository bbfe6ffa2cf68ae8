# SPDX-License-Identifier: GPL-3.0-only
"""Backends that are each wrong about one kind of request, or about its end."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Collection, Sequence

from msgspec.structs import replace

from modeld import (
    Capability,
    Chunk,
    Done,
    Failed,
    FinishReason,
    GenerateRequest,
    ModelSpec,
    Options,
    StepChunk,
    Token,
    Usage,
)
from modeld.errors import (
    DrainingError,
    InvalidRequestError,
    PromptTooLongError,
    WorkerCrashedError,
)
from modeld.messages import ToolChoice
from modeld.requests import (
    AnyRequest,
    AnyUnaryRequest,
    ApplyTemplateRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
    not_supported,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from tests.testing.backend_mutants import MUTANTS, fails, planned
from tests.testing.toys import (
    CONTEXT,
    FAILING,
    Toy,
    ToyEngine,
    ToyOwnEngine,
    prompt_of,
    response_to,
)

__all__ = ["DONE", "MUTANTS", "fails"]

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())

# Clients that leave, and requests that fail.


@fails("test_leaving_before_the_first_token_hurts_nobody")
class DiesOfImpatience(ToyOwnEngine):
    is_hurt = False

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        has_begun = False
        try:
            async for chunk in super().generate(request):
                has_begun = True
                yield Token(text=" ouch") if self.is_hurt and isinstance(chunk, Token) else chunk
        finally:
            self.is_hurt = self.is_hurt or not (has_begun or request.prompt == FAILING.prompt)


@fails("test_leaving_after_the_first_token_stops_the_work")
class RemembersWhoLeft(ToyOwnEngine):
    has_left = False

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        if self.has_left:
            yield Token(text=" (somebody left)")
        try:
            async for chunk in super().generate(request):
                yield chunk
        except GeneratorExit:
            self.has_left = True
            raise


@fails("test_leaving_really_frees_the_slot")
class KeepsTheSlot(ToyEngine):
    """Forgets in cancel how many it may serve: some are lost with each."""

    def __init__(self, held_bytes: int, slots: int) -> None:
        super().__init__(held_bytes, slots)
        self.free = slots + 4

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if self.free <= 0:
            raise InvalidRequestError("there is no slot")
        super().submit(request_id, request)

    def cancel(self, request_id: int) -> None:
        if request_id in self.plans:
            self.free -= 1
        super().cancel(request_id)


@fails("test_what_was_cancelled_says_nothing_more")
class FailsOnStrangers(ToyEngine):
    def cancel(self, request_id: int) -> None:
        if request_id == 404:
            raise KeyError(request_id)
        super().cancel(request_id)


@fails("test_a_paused_request_says_nothing")
class CannotHoldBack(ToyEngine):
    def pause(self, request_id: int) -> bool:
        return True


@fails("test_a_paused_request_says_nothing")
class NeverResumes(ToyEngine):
    def resume(self, request_id: int) -> None:
        self.plans.pop(request_id)


@fails("test_a_prompt_that_is_too_long_is_refused")
class CutsPrompts(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and len(prompt_of(request)) > CONTEXT:
            request = replace(request, prompt=(request.prompt or "")[-CONTEXT:])
        super().submit(request_id, request)


@fails("test_a_prompt_that_is_too_long_is_refused")
class SaysItOtherwise(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        try:
            super().submit(request_id, request)
        except PromptTooLongError as exc:
            raise InvalidRequestError(exc.message) from exc


@fails("test_a_failing_request_fails_alone")
class FailsWhole(ToyEngine):
    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        if any(plan == [] for plan in self.plans.values()):
            raise ZeroDivisionError("the request was wrong")
        return super().step()

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.prompt == FAILING.prompt:
            self.plans[request_id] = []
            return
        super().submit(request_id, request)


@fails("test_a_failing_request_fails_alone")
class EndsWell(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.prompt == FAILING.prompt:
            request = replace(request, prompt="fine")
        super().submit(request_id, request)


@fails("test_an_error_after_the_first_token_ends_its_request")
class SpeaksOn(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.prompt == FAILING.prompt:
            failed = Failed(code="invalid_request", message="it was told to fail")
            self.plans[request_id] = [Token(text=" a"), failed, Token(text=" boat")]
            return
        super().submit(request_id, request)


@fails("test_a_killed_process_is_an_error_of_its_requests")
class TakesDeathForAnEnd(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        try:
            async for chunk in super().generate(request):
                yield chunk
        except WorkerCrashedError:
            yield DONE


@fails("test_a_killed_process_is_an_error_of_its_requests")
class DeniesItsDeath(ToyOwnEngine):
    def failure(self) -> WorkerCrashedError | None:
        return None


@fails("test_an_engine_closes_twice")
class ClosesOnce(ToyOwnEngine):
    async def aclose(self) -> None:
        if self.is_closed and self.process.returncode is not None and not self.has_run:
            raise RuntimeError("it is closed already")
        await super().aclose()

    has_run = False

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.has_run = True
        async for chunk in super().generate(request):
            yield chunk


@fails("test_an_engine_closes_while_it_runs")
class WaitsForClients(ToyOwnEngine):
    """Closes once nobody is served any more, and does not tell those who are."""

    def __init__(self, held_bytes: int, slots: int, process: Process) -> None:
        super().__init__(held_bytes, slots, process)
        self.is_asked_to_close = False
        self.all_served = asyncio.Event()
        self.all_served.set()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.all_served.clear()
        try:
            async for chunk in super().generate(request):
                yield chunk
                if self.is_asked_to_close:
                    await asyncio.Event().wait()
        finally:
            self.all_served.set()

    async def aclose(self) -> None:
        self.is_asked_to_close = True
        await self.all_served.wait()
        await super().aclose()


@fails("test_an_engine_closes_while_it_runs")
class IsDoneWhenClosed(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        has_begun = False
        try:
            async for chunk in super().generate(request):
                has_begun = True
                yield chunk
        except DrainingError:
            if not has_begun:
                raise
            yield DONE


@fails("test_an_engine_closes_while_it_runs")
class BlamesItsProcess(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        has_begun = False
        try:
            async for chunk in super().generate(request):
                has_begun = True
                yield chunk
        except DrainingError as exc:
            raise WorkerCrashedError("its process is gone") if has_begun else exc from exc


@fails("test_a_closed_engine_takes_no_unary_request")
class RespondsAfterwards(ToyOwnEngine):
    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        return response_to(request)


@fails("test_a_closed_engine_serves_nothing")
class ServesAfterwards(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        if self.is_closed:
            yield Token(text=" I live")
            yield DONE
            return
        async for chunk in super().generate(request):
            yield chunk


# Capabilities.


@fails("test_serves_token_ids")
class AddsABeginning(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, GenerateRequest) and request.prompt_tokens is not None:
            end = planned(self, request_id)[-1]
            usage = replace(end.usage, prompt_tokens=end.usage.prompt_tokens + 1)
            planned(self, request_id)[-1] = replace(end, usage=usage)


@fails("test_serves_chat")
class HatesChats(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.messages is not None:
            message, *others = request.messages
            is_plain = not (others or request.tools) and isinstance(message.content, str)
            if is_plain and message.role == "user" and not message.name:
                raise TypeError("messages are no prompt")
        super().submit(request_id, request)


@fails("test_serves_parts")
class ReadsTextsOnly(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        for message in request.messages or () if isinstance(request, GenerateRequest) else ():
            if not isinstance(message.content, str):
                raise TypeError("a list is no text")
        super().submit(request_id, request)


@fails("test_serves_tools")
class CallsNobody(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest):
            request = replace(request, tool_choice=ToolChoice())
        super().submit(request_id, request)


@fails("test_serves_continue_last")
class BeginsAnew(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.continue_last:
            raise InvalidRequestError("the last message is not the user's")
        super().submit(request_id, request)


@fails("test_serves_logprobs")
class AlwaysProbable(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.max_tokens == 2:
            request = replace(request, logprobs=1)
        super().submit(request_id, request)


@fails("test_serves_choice")
class ChoosesFreely(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.choice:
            request = replace(request, choice=("perhaps",))
        super().submit(request_id, request)


class Responds(ToyEngine):
    """Responds to one kind of unary request with what a mutant says."""

    kind: type[AnyUnaryRequest]
    response: AnyUnaryResponse

    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, self.kind):
            self.plans[request_id] = [self.response]


@fails("test_serves_embed")
class LongVectors(Responds):
    kind = EmbedRequest
    response = EmbedResponse(vectors=((3.0, 4.0),) * 3, usage=Usage())


@fails("test_serves_rerank")
class OneScore(Responds):
    kind = RerankRequest
    response = RerankResponse(scores=(1.0,), usage=Usage())


@fails("test_serves_tokenize")
class NoPieces(Responds):
    kind = TokenizeRequest
    response = TokenizeResponse(ids=(1, 2, 3))


@fails("test_serves_template")
class EmptyPrompt(Responds):
    kind = ApplyTemplateRequest
    response = TextResponse(text="<user>")


@fails("test_other_requests_are_refused_by_the_engine")
class ServesWhatItDenies(Toy):
    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:
        return {*super().capabilities(spec, options)} - {Capability.EMBED}


@fails("test_other_requests_are_refused_by_the_engine")
class FearsTheFuture(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        try:
            super().submit(request_id, request)
        except type(not_supported(TokenizeRequest(text=""))) as exc:
            raise AttributeError("no such request") from exc


@fails("test_a_generation_ends_once")
class Hangs(ToyEngine):
    """Never comes to an end: a check gives it up."""

    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        time.sleep(0.001)
        return [(said, chunk) for said, chunk in super().step() if not isinstance(chunk, Done)]
