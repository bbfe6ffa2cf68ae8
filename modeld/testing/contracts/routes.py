# SPDX-License-Identifier: GPL-3.0-only
"""What a plugin's routes keep to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from modeld import ModelSpec, PublicRoute, Settings
from modeld.errors import ConfigurationError, DrainingError
from modeld.status import ServiceStatus
from modeld.testing.contract import Contract, DisclaimedError, assert_that, check
from modeld.testing.contracts.hooks import things
from modeld.testing.doubles.application import ObligingService, make_app, serving
from modeld.testing.doubles.client import Leaving, ask
from modeld.testing.leftovers import nothing_left
from modeld.testing.loop_watch import check_free_loop

BRINGS: Final = "test_it_brings_routes"
FITS: Final = "test_its_routes_fit_beside_the_others"
SERVES: Final = "test_reads_are_served"
KEY: Final = "a-key-of-the-kit-0123456789"


class TroubledService(ObligingService):
    """A service that cannot say how it is."""

    async def status(self) -> ServiceStatus:
        """Raise."""
        raise DrainingError("the service is out of reach")

    async def models(self) -> Sequence[ModelSpec]:
        """Raise."""
        raise DrainingError("the service is out of reach")


class RoutesContract(Contract):
    """What every plugin's routes keep to.

    ``plugin`` has the hook ``modeld_register_routes``: a class, which is made anew for each
    application, a module or an object. A request whose client has left must end in ``leaving_s``.
    """

    subjects: ClassVar[tuple[str, ...]] = ("plugin",)

    plugin: object
    quick_s: float = 0.1
    leaving_s: float = 10.0

    def routes(self) -> list[Any]:
        """Return the plugin's routes, made anew."""
        return things(
            self.plugin, "modeld_register_routes", settings=Settings(), service=ObligingService()
        )

    def reads(self, *, public: bool | None = None) -> Iterator[str]:
        """Yield the addresses that are read without a part that must be known."""
        for route in self.routes():
            if public is not None and isinstance(route, PublicRoute) != public:
                continue
            bare = _bare(route)
            methods = getattr(bare, "methods", None) or {"GET"}
            if "GET" in methods and "{" not in _path(bare):
                yield _path(bare)

    @check()
    def test_it_brings_routes(self) -> None:
        """Its hook returns Starlette routes, whose addresses begin with a slash."""
        found = self.routes()
        assert_that(found, "modeld_register_routes returned nothing")
        for route in found:
            bare = _bare(route)
            assert_that(
                hasattr(bare, "matches") and hasattr(bare, "handle"),
                f"{bare!r} is no Starlette route; return Route(...) or PublicRoute(Route(...))",
            )
            assert_that(
                _path(bare).startswith("/"), f"the path {_path(bare)!r} begins with no slash"
            )

    @check(BRINGS)
    async def test_its_routes_fit_beside_the_others(self) -> None:
        """No address is taken, and the documents can be made."""
        try:
            async with serving(self.plugin) as app:
                got = await ask(app, "GET", "/openapi.json")
        except ConfigurationError as exc:
            raise AssertionError(f"no application can be made with it: {exc.message}") from exc
        assert_that(got.status == 200, f"with it the document is {got.status} {got.body!r:.200}")

    @check(FITS)
    async def test_reads_are_served(self) -> None:
        """What takes no arguments has a response without any."""
        for path in self.reads():
            async with serving(self.plugin) as app:
                got = await ask(app, "GET", path)
            assert_that(
                0 < got.status < 500 and got.is_whole,
                f"GET {path} got {got.status} {got.body!r:.200}, whole: {got.is_whole}",
            )

    @check(FITS)
    async def test_reads_load_nothing(self) -> None:
        """They look, and do not touch."""
        for path in self.reads():
            service = ObligingService()
            async with serving(self.plugin, service) as app:
                await ask(app, "GET", path)
                used = [call for call in service.calls if call != "start"]
            assert_that(
                not (used or service.requests or service.unary_requests),
                f"GET {path} made the service do {used or 'some work'}; a read never loads a model",
            )

    @check(FITS, SERVES)
    async def test_a_service_in_trouble_is_no_fault_of_theirs(self) -> None:
        """Where the service cannot say how it is, they say so and do not crash."""
        for path in self.reads():
            async with serving(self.plugin, TroubledService()) as app:
                got = await ask(app, "GET", path)
            assert_that(
                got.status not in {0, 500},
                f"GET {path} got {got.status} where the service raised DrainingError; let a"
                " ModeldError through, or do without what it would have told",
            )

    @check(FITS)
    async def test_clients_may_leave(self) -> None:
        """A request whose client has left comes to its end."""
        moments: tuple[Leaving, ...] = ("sent", "head", 1)
        for path in self.reads():
            for leaves in moments:
                async with serving(self.plugin) as app:
                    await ask(app, "GET", path, leaves=leaves, limit_s=self.leaving_s)

    @check(FITS)
    async def test_only_public_routes_are_open(self) -> None:
        """With keys, whatever is no ``PublicRoute`` needs one, and what is one needs none."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "keys")
            file.write_text(f"{KEY}\n")  # noqa: ASYNC240  (nobody else is in this loop)
            for public in (True, False):
                for path in self.reads(public=public):
                    service = ObligingService()
                    app = make_app(service, self.plugin, api_key_file=str(file))
                    try:
                        got = await ask(app, "GET", path)
                    finally:
                        await app.aclose()
                    assert_that(
                        (got.status == 401) != public,
                        f"GET {path} without a key got {got.status}, and it is"
                        f" {'' if public else 'no '}PublicRoute",
                    )

    @check(FITS, SERVES)
    async def test_public_routes_need_no_service(self) -> None:
        """What is open to anybody does not ask the service, which is not started for it."""
        paths = list(self.reads(public=True))
        if not paths:
            raise DisclaimedError("there is no PublicRoute")
        for path in paths:
            service = TroubledService()
            app = make_app(service, self.plugin)
            try:
                got = await ask(app, "GET", path)
            finally:
                await app.aclose()
            assert_that(
                "start" not in service.calls and 0 < got.status < 500,
                f"GET {path} is public, and needs the service: {got.status} {got.body!r:.200}",
            )

    @check(FITS)
    async def test_the_loop_goes_on(self) -> None:
        """No read blocks the event loop."""
        async with serving(self.plugin) as app:
            for path in self.reads():
                await ask(app, "GET", path)  # what it imports and reads once, it does now
                await check_free_loop(self.quick_s, f"GET {path}", partial(ask, app, "GET", path))

    @check(FITS)
    async def test_nothing_is_left_of_an_application(self) -> None:
        """What the routes have opened is closed with the application."""
        async with serving(self.plugin) as app:  # what is imported and kept for good, it is now
            for path in self.reads():
                await ask(app, "GET", path)
        async with nothing_left("an application was used"), serving(self.plugin) as app:
            for path in self.reads():
                await ask(app, "GET", path)


def _bare(route: Any) -> Any:
    return route.route if isinstance(route, PublicRoute) else route


def _path(route: Any) -> str:
    return str(getattr(route, "path", ""))
