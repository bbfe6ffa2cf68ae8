# SPDX-License-Identifier: GPL-3.0-only
"""What a wire dialect keeps to."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from pydantic import ValidationError

from modeld import Done, FinishReason, Token
from modeld.dialects import Dialect, DialectRoute, PlainRoute, WholeResponse
from modeld.errors import QueueFullError, WorkerCrashedError, error_codes, error_from_code
from modeld.testing.contract import assert_that, check
from modeld.testing.contracts.dialect_subject import DialectSubject, Example
from modeld.testing.contracts.naming import check_name
from modeld.testing.doubles.application import MODEL, ObligingService, serving
from modeld.testing.doubles.client import Leaving, ask
from modeld.testing.doubles.scripted import USAGE, Step

BRINGS: Final = "test_it_brings_dialects"
SERVES: Final = "test_examples_are_served"
WORDS: Final = ("alpha ", "beta")
SCRIPT: Final[tuple[Step, ...]] = (
    *(Token(text=word) for word in WORDS),
    Done(finish_reason=FinishReason.STOP, usage=USAGE, content="".join(WORDS)),
)


class DialectContract(DialectSubject):
    """What every wire dialect keeps to, in the real application around a service without models."""

    @check()
    def test_it_brings_dialects(self) -> None:
        """Its hook returns dialects with names, and addresses that begin with a slash."""
        found = self.brought()
        assert_that(found, "modeld_register_dialects returned nothing")
        for each in found:
            assert_that(isinstance(each, Dialect), f"{each!r} is no modeld.dialects.Dialect")
            check_name("the dialect", each)
            for prefix in each.prefixes:
                assert_that(
                    prefix.startswith("/") and not prefix.endswith("/"),
                    f"the prefix {prefix!r} must begin with a slash and not end with one",
                )
            assert_that(
                isinstance(getattr(each, "error_body", None), type),
                f"the dialect {each.name!r} has no error_body; name the pydantic model of its"
                " errors, without which there is no OpenAPI document",
            )
            assert_that(
                each.base_path in {None, ""} or str(each.base_path).startswith("/"),
                f"base_path is {each.base_path!r}; it is None, '' or begins with a slash",
            )

    @check(BRINGS)
    def test_routes_can_be_told_apart(self) -> None:
        """Names and addresses are there once, and each has a sentence for the documents."""
        routes = [route for dialect in self.dialects() for route in dialect.routes()]
        names = [route.name for route in routes]
        assert_that(len(set(names)) == len(names), f"two routes have one name among {names}")
        addresses = [(_method(route), route.path) for route in routes]
        assert_that(len(set(addresses)) == len(addresses), f"an address is twice in {addresses}")
        for route in routes:
            assert_that(route.path.startswith("/"), f"the path {route.path!r} begins with no slash")
            assert_that(route.summary.strip(), f"the route {route.path} has no summary")

    @check(BRINGS)
    async def test_the_document_describes_it(self) -> None:
        """The application can be made with it, and its OpenAPI document has all routes."""
        async with serving(self.plugin) as app:
            document = (await ask(app, "GET", "/openapi.json")).json()
        for dialect in self.dialects():
            for route in dialect.routes():
                assert_that(
                    route.path in document["paths"], f"the document does not have {route.path}"
                )

    @check(BRINGS)
    def test_errors_are_as_it_declares_them(self) -> None:
        """Each error becomes a response with a status of 400 or more and its ``error_body``."""
        for dialect in self.dialects():
            for code in error_codes():
                error = error_from_code(code, "it broke \N{BALLOON}", 1.5, "prompt")
                found: object = dialect.error(error, 500, "request-1")
                assert_that(
                    isinstance(found, WholeResponse),
                    f"error returned {found!r:.200}; return a modeld.dialects.WholeResponse",
                )
                assert isinstance(found, WholeResponse)
                content = b"".join(found.pieces)
                assert_that(
                    400 <= found.status < 600,
                    f"an error has the status {found.status}; take 4xx, 5xx",
                )
                _check_error(dialect, content)
                assert_that(
                    b"it broke" in content,
                    f"the error {content!r:.200} does not say what the message says: write it",
                )

    @check(BRINGS)
    async def test_examples_are_served(self) -> None:
        """Of the examples of a route one has a good response, and none is a fault of the server's.

        One that goes on with what was there before may be refused.
        """
        served: dict[str, list[str]] = {}
        for example in self.examples():
            got = await self.post(example, ObligingService(*SCRIPT))
            said = f"{json.dumps(example.body)[:200]} got {got.status} {got.body!r:.300}"
            assert_that(
                200 <= got.status < 500 and got.is_whole,
                f"{example.route.path}: the example {said}; mend the example or the route",
            )
            refused = served.setdefault(example.route.path, [])
            refused += [said] if got.status >= 300 else [""]
        for path, outcomes in served.items():
            assert_that("" in outcomes, f"{path}: no example is served; {'; '.join(outcomes)}")

    @check(SERVES)
    async def test_what_was_generated_is_in_the_response(self) -> None:
        """All of it is sent, once, however many are served at once."""
        for example in self.generations():
            service = ObligingService(*SCRIPT)
            got = await self.post(example, service)
            if not service.requests:
                continue  # this one loads a model and asks for nothing
            for word in WORDS:
                assert_that(
                    word.strip().encode() in got.body,
                    f"{word!r} was generated, and {example.route.path} sent {got.body!r:.300}",
                )
            async with serving(self.plugin, service) as app:
                both = await asyncio.gather(
                    *(ask(app, "POST", example.route.path, body=example.body) for _ in range(2))
                )
            counts = [each.body.count(b"alpha") for each in (got, *both)]
            assert_that(
                len(set(counts)) == 1,
                f"two requests at once got the text {counts[1:]} times, and one alone {counts[0]}"
                " times; make an encoder for each request",
            )

    @check(SERVES)
    async def test_a_failure_has_a_status_where_nothing_was_sent(self) -> None:
        """An error before the first token is a response of its own."""
        for example in self.generations():
            service = ObligingService(QueueFullError("it broke", retry_after_s=2.0))
            got = await self.post(example, service)
            if not service.requests:
                continue
            assert_that(
                got.status >= 400,
                f"nothing was generated, and {example.route.path} got {got.status}"
                f" {got.body!r:.200}",
            )
            _check_error(example.dialect, got.body)

    @check(SERVES)
    async def test_a_failure_in_the_middle_is_told(self) -> None:
        """A response that breaks off says so, and does not look like a good end."""
        for example in self.generations():
            service = ObligingService(*SCRIPT[:1], WorkerCrashedError("it broke"))
            got = await self.post(example, service)
            if not service.requests:
                continue
            assert_that(
                got.status >= 400 or b"it broke" in got.body,
                f"the worker died in the middle, and {example.route.path} sent {got.body!r:.300}"
                " and nothing of it; write the error in failure()",
            )

    @check(SERVES)
    async def test_a_client_that_leaves_ends_its_request(self) -> None:
        """Nothing is generated for nobody, in the middle and before the first token."""
        moments: tuple[tuple[tuple[Step, ...], Leaving], ...] = (
            ((asyncio.Event(),), "sent"),
            ((*SCRIPT[:1], asyncio.Event()), 1),
        )
        for example in self.generations():
            for script, leaves in moments:
                service = ObligingService(*script)
                if isinstance(leaves, int) and not await self._streams(example):
                    leaves = "sent"  # noqa: PLW2901  (what is sent as a whole has no middle)
                await self.post(example, service, leaves)
                assert_that(
                    set(service.ends) <= {"left"},
                    f"its client had left {example.route.path}, and the request ended with"
                    f" {service.ends}",
                )

    @check(BRINGS)
    async def test_wrong_bodies_are_refused_as_it_declares(self) -> None:
        """What cannot be read is an error in the dialect's own form."""
        for example in self.examples():
            for body in (b"{", b"[]", b'{"no_such_field_at_all": 1}'):
                async with serving(self.plugin) as app:
                    got = await ask(app, "POST", example.route.path, body=body)
                assert_that(
                    400 <= got.status < 500,
                    f"{example.route.path} got {got.status} for the body {body!r}; refuse it:"
                    " forbid fields that are not known",
                )
                _check_error(example.dialect, got.body)

    @check(BRINGS)
    async def test_unknown_addresses_are_refused_as_it_declares(self) -> None:
        """What is not there looks like its other errors."""
        for dialect in self.dialects():
            for prefix in dialect.prefixes:
                async with serving(self.plugin) as app:
                    got = await ask(app, "GET", f"{prefix}/no-such-thing")
                assert_that(got.status == 404, f"{prefix}/no-such-thing got {got.status}, not 404")
                _check_error(dialect, got.body)

    @check(BRINGS)
    async def test_reads_load_nothing(self) -> None:
        """A list or a state is told without a model."""
        for dialect in self.dialects():
            for route in dialect.routes():
                if not isinstance(route, PlainRoute) or route.method != "GET":
                    continue
                service = ObligingService()
                async with serving(self.plugin, service) as app:
                    got = await ask(app, "GET", route.path.replace("{id}", MODEL.id))
                    used = [call for call in service.calls if call != "start"]
                assert_that(
                    got.status < 500, f"GET {route.path} got {got.status} {got.body!r:.200}"
                )
                assert_that(
                    not (used or service.requests or service.unary_requests),
                    f"GET {route.path} made the service do {used or 'some work'}; only look",
                )

    async def _streams(self, example: Example) -> bool:
        got = await self.post(example, ObligingService(*SCRIPT))
        return len(got.pieces) > 1


def _method(route: DialectRoute) -> str:
    return route.method if isinstance(route, PlainRoute) else "POST"


def _check_error(dialect: Dialect, content: bytes) -> None:
    try:
        dialect.error_body.model_validate_json(content)
    except ValidationError as exc:
        raise AssertionError(
            f"the error {content!r:.300} is not what error_body declares: {exc.errors()[0]['msg']}"
        ) from exc
