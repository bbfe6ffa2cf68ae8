# SPDX-License-Identifier: GPL-3.0-only
"""What a service keeps to, the local one and whatever is put in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from modeld import Chunk, Done, GenerateRequest, ModelService, ModelSpec, Sampling
from modeld.errors import (
    DrainingError,
    InvalidRequestError,
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
)
from modeld.requests import EmbedRequest, TokenizeRequest
from modeld.responses import PIECES
from modeld.status import ModelPlan, Readiness, ServiceStatus
from modeld.testing.contract import Contract, DisclaimedError, assert_that, check
from modeld.testing.leftovers import nothing_left
from modeld.values import PluginStatus

STARTS: Final = "test_it_starts_twice_and_closes_twice"
GENERATES: Final = "test_a_generation_ends_once"
NOBODY: Final = "there-is-no-such-model.gguf"


class ServiceContract(Contract):
    """What every service keeps to.

    A subclass makes one in ``make_service``; ``model`` is the id of a model that it has, and to
    ``prompt`` that says some words.
    """

    subjects: ClassVar[tuple[str, ...]] = ("model", "prompt")

    model: str
    prompt: str = "Once upon a time there was a little boat. It"

    def make_service(self) -> ModelService:
        """Return a service that was not started."""
        raise NotImplementedError

    @asynccontextmanager
    async def started(self) -> AsyncIterator[ModelService]:
        """Yield a service that runs, and close it at the end."""
        service = self.make_service()
        try:
            await service.start()
            yield service
        finally:
            await service.aclose()

    def request(self, **members: Any) -> GenerateRequest:
        """Return a request for some words."""
        defaults: dict[str, Any] = {"model": self.model, "prompt": self.prompt, "max_tokens": 6}
        return GenerateRequest(**(defaults | members))

    @check()
    async def test_it_starts_twice_and_closes_twice(self) -> None:
        """The second time nothing happens."""
        service = self.make_service()
        await service.start()
        await service.start()
        await service.aclose()
        await service.aclose()

    @check(STARTS)
    async def test_it_tells_of_its_models(self) -> None:
        """They are ``ModelSpec`` values, with this one among them, also after a look for more."""
        async with self.started() as service:
            for specs in (await service.models(), await service.refresh()):
                _check_values("models", specs, ModelSpec)
                ids = [spec.id for spec in specs]
                assert_that(self.model in ids, f"the model {self.model!r} is not among {ids[:5]}")
            _check_value("known", await service.known(self.model), ModelSpec)
            default: object = await service.default_model()
            assert_that(
                isinstance(default, str) and default in {"", *ids},
                f"default_model returned {default!r}; return the id of a model, or ''",
            )

    @check(STARTS)
    async def test_it_tells_how_it_is(self) -> None:
        """Its status, its readiness and its plugins are plain values."""
        async with self.started() as service:
            _check_value("status", await service.status(), ServiceStatus)
            _check_value("ready", await service.ready(), Readiness)
            _check_value("ready", await service.ready(self.model), Readiness)
            _check_values("plugins", await service.plugins(), PluginStatus)

    @check(STARTS)
    async def test_reads_load_nothing(self) -> None:
        """To look is no use of a model."""
        async with self.started() as service:
            before = (await service.status()).loads_total
            await service.models()
            await service.refresh()
            await service.default_model()
            await service.ready()
            await service.ready(self.model)
            await service.plugins()
            after = await service.status()
            assert_that(after.loads_total == before, "a read has loaded a model; reads only look")

    @check(STARTS)
    async def test_a_generation_ends_once(self) -> None:
        """There is one ``Done``, last, which has the whole text."""
        async with self.started() as service:
            *pieces, done = await _all(service, self.request())
            strange = [each for each in pieces if not isinstance(each, PIECES)]
            assert_that(not strange, f"{strange!r} came in the middle of a generation")
            assert_that(isinstance(done, Done), f"the last chunk is {done!r}, and no Done")
            assert isinstance(done, Done)
            text = "".join(getattr(each, "text", "") for each in pieces)
            assert_that(
                done.content == text,
                f"Done has the content {done.content!r}, and the tokens were {text!r}",
            )

    @check(STARTS)
    async def test_unknown_models_are_refused_by_every_verb(self) -> None:
        """There is never another model in the place of one that is not there."""
        async with self.started() as service:
            verbs: dict[str, Callable[[], Any]] = {
                "generate": lambda: _all(service, self.request(model=NOBODY)),
                "submit": lambda: service.submit(TokenizeRequest(model=NOBODY, text="a")),
                "load": lambda: service.load(NOBODY),
                "unload": lambda: service.unload(NOBODY),
                "pin": lambda: service.pin(NOBODY, pinned=True),
                "ready": lambda: service.ready(NOBODY),
                "known": lambda: service.known(NOBODY),
            }
            for verb, call in verbs.items():
                await _expect(ModelNotFoundError, call, f"{verb} of a model that there is not")

    @check(STARTS)
    async def test_wrong_requests_are_refused_by_name(self) -> None:
        """Whoever makes a request, its members are looked at."""
        wrong = {
            "max_tokens": self.request(max_tokens=0),
            "temperature": self.request(sampling=Sampling(temperature=99.0)),
            "stop[0]": self.request(stop=("",)),
        }
        async with self.started() as service:
            for field, request in wrong.items():
                exc = await _expect(
                    InvalidRequestError, partial(_all, service, request), f"a wrong {field}"
                )
                assert_that(exc.field == field, f"a wrong {field} was refused as {exc.field!r}")

    @check(STARTS)
    async def test_a_plan_is_what_then_happens(self) -> None:
        """It names the model, loads nothing, and after a load the model is in memory."""
        async with self.started() as service:
            before = (await service.status()).loads_total
            try:
                plan = await service.plan(self.model)
            except NotSupportedError as exc:
                raise DisclaimedError("the service does not plan") from exc
            _check_value("plan", plan, ModelPlan)
            assert_that(plan.model == self.model, f"the plan is for {plan.model!r}")
            loads = (await service.status()).loads_total
            assert_that(loads == before, "a plan has loaded the model; nothing may happen by it")
            await _expect(
                ModelNotFoundError, lambda: service.plan(NOBODY), "plan of a model there is not"
            )
            await service.load(self.model)
            if (await service.ready(self.model)).ready:
                outcome = (await service.plan(self.model)).outcome
                assert_that(
                    outcome == "resident",
                    f"the plan for a loaded model is {outcome!r}, not 'resident'",
                )

    @check(STARTS)
    async def test_what_the_model_does_not_declare_is_refused(self) -> None:
        """A request for vectors is served where the model makes some, and refused elsewhere."""
        async with self.started() as service:
            specs = {spec.id: spec for spec in await service.models()}
            if "embed" in specs[self.model].capabilities:
                raise DisclaimedError("the model makes vectors")
            request = EmbedRequest(model=self.model, inputs=("a",))
            await _expect(
                NotSupportedError, lambda: service.submit(request), "a request for vectors"
            )

    @check(STARTS)
    async def test_a_model_comes_and_goes(self) -> None:
        """It is in memory after ``load``, and its bytes are free after ``unload``."""
        async with self.started() as service:
            await service.load(self.model)
            states = {each.model_id: each.state for each in (await service.status()).instances}
            assert_that(
                states.get(self.model) == "ready",
                f"after load the model is {states.get(self.model)!r}; return when it is ready",
            )
            await service.pin(self.model, pinned=True)
            await service.pin(self.model, pinned=False)
            await service.unload(self.model)
            held = (await service.status()).held_bytes
            assert_that(held == 0, f"after unload {held:,} bytes are held")

    @check(GENERATES)
    async def test_a_client_that_leaves_frees_its_slot(self) -> None:
        """In the middle and before the first token; however many leave, the next is served."""
        async with self.started() as service:
            for _ in range(3):
                async with aclosing(service.generate(self.request(max_tokens=512))) as chunks:
                    await anext(chunks)
                waiting = asyncio.ensure_future(_all(service, self.request(max_tokens=512)))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
            await _all(service, self.request())
            busy = [each for each in (await service.status()).instances if each.inflight]
            assert_that(
                not busy, f"nobody is served any more, and {len(busy)} models have requests"
            )

    @check(GENERATES)
    async def test_a_drained_service_takes_nothing(self) -> None:
        """New work is refused, and nothing waits for what cannot come."""
        async with self.started() as service:
            await _all(service, self.request())
            await service.drain(1.0)
            await _expect(
                DrainingError, lambda: _all(service, self.request()), "a request after drain"
            )

    @check(GENERATES)
    async def test_a_closed_service_ends_what_runs(self) -> None:
        """A request that runs fails with an error and does not wait."""
        async with self.started() as service:
            async with aclosing(service.generate(self.request(max_tokens=4096))) as chunks:
                await anext(chunks)
                await service.aclose()
                with suppress(ModeldError):
                    async for _ in chunks:
                        pass
            await _expect(
                DrainingError, lambda: _all(service, self.request()), "a request after aclose"
            )

    @check(GENERATES)
    async def test_nothing_is_left_of_a_closed_service(self) -> None:
        """No thread, no process and no descriptor stays."""
        async with self.started() as service:  # what is kept for good, it begins with now
            await _all(service, self.request())
        async with nothing_left("a service was used and closed"), self.started() as service:
            await _all(service, self.request())


async def _all(service: ModelService, request: GenerateRequest) -> Sequence[Chunk]:
    async with aclosing(service.generate(request)) as chunks:
        return [chunk async for chunk in chunks]


async def _expect(error: type[ModeldError], call: Callable[[], Any], what: str) -> ModeldError:
    """Return the error that the call raises.

    Raises:
        AssertionError: it raises another one, or none.
    """
    try:
        await call()
    except error as exc:
        return exc
    except ModeldError as exc:
        raise AssertionError(
            f"{what} was refused with {type(exc).__name__}: {exc.message}; raise {error.__name__}"
        ) from exc
    raise AssertionError(f"{what} was taken; raise {error.__name__}")


def _check_values(verb: str, found: object, kind: type[msgspec.Struct]) -> None:
    assert_that(
        isinstance(found, Sequence) and not isinstance(found, str),
        f"{verb} returned {found!r:.200}; return a list of {kind.__name__}",
    )
    assert isinstance(found, Sequence)
    for each in found:
        _check_value(verb, each, kind)


def _check_value(verb: str, found: object, kind: type[msgspec.Struct]) -> None:
    assert_that(isinstance(found, kind), f"{verb} returned {found!r:.200}; it is a {kind.__name__}")
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=kind)
    except (msgspec.ValidationError, TypeError) as exc:
        raise AssertionError(f"{verb} returned a value with a wrong member: {exc}") from exc
