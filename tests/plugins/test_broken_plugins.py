# SPDX-License-Identifier: GPL-3.0-only
"""Each kind of broken plugin is left out with its reason, and hurts no other."""

import functools
import threading
from typing import Any

import pytest

from modeld import (
    Backend,
    BackendSampling,
    Chunk,
    ModeldError,
    ModelSpec,
    OutputFormatter,
    Sampling,
    Settings,
    hookimpl,
    hookspecs,
)
from modeld.plugins.host import PluginHost
from tests.support.plugins.some_plugins import Brings, Thing, discover, status_of


class Undescribed(BackendSampling, frozen=True):
    x: float | None = None


@pytest.fixture(autouse=True, scope="session")
def warm() -> None:
    """Import the built-in plugins once, so that no short time limit below is theirs."""
    PluginHost.discover(Settings())


def why_broken(plugin: object, **settings: Any) -> str:
    """Return the reason why one plugin is left out, while another one is not."""
    host = discover({"broken": plugin, "sound": Brings(Thing("sound"))}, **settings)
    assert "sound" in host.backends
    assert status_of(host, "sound").state == "active"
    status = status_of(host, "broken")
    assert status.state == "broken"
    assert status.provides == ()
    assert status.reason is not None
    return status.reason


class TestBrokenPlugins:
    def test_an_unknown_hook_is_found_although_it_is_marked(self) -> None:
        class Plugin:
            @hookimpl
            def modeld_register_formatter(self) -> list[Any]:
                return []

        assert "unknown hook 'modeld_register_formatter'" in why_broken(Plugin())

    @pytest.mark.parametrize(
        "hook", [name for name in vars(hookspecs) if name.startswith("modeld_")]
    )
    def test_a_hook_without_its_marker_is_found(self, hook: str) -> None:
        plugin = type("Plugin", (), {hook: lambda self: []})()
        assert f"{hook} is not marked with @modeld.hookimpl" in why_broken(plugin)

    def test_an_argument_that_the_hook_does_not_have_is_found(self) -> None:
        class Plugin:
            @hookimpl
            def modeld_register_sources(self, setings: Settings) -> list[Any]:
                return []

        assert "setings" in why_broken(Plugin())

    @pytest.mark.parametrize(
        ("member", "value", "why"),
        [
            ("options_type", 5, "not a subclass of Options as its options_type"),
            ("options_type", Sampling, "not a subclass of Options as its options_type"),
            ("sampling_type", Sampling, "not a subclass of BackendSampling as its sampling_type"),
            ("sampling_type", 5, "not a subclass of BackendSampling as its sampling_type"),
            ("sampling_type", Undescribed, "sampling_type of backend 'odd': 'x' has no descr"),
            ("unserved_sampling", ("top_kk",), "'top_kk', which is not a name in unserved_samp"),
        ],
    )
    def test_options_and_sampling_that_are_declared_wrongly_are_found(
        self, member: str, value: object, why: str
    ) -> None:
        backend = Thing("odd")
        setattr(backend, member, value)
        assert why in why_broken(Brings(backend))

    @pytest.mark.parametrize("returned", [7, "text", object(), True])
    def test_what_is_no_list_is_refused(self, returned: object) -> None:
        class Plugin:
            @hookimpl
            def modeld_register_observers(self) -> Any:
                return returned

        assert "modeld_register_observers returned" in why_broken(Plugin())

    @pytest.mark.parametrize(
        ("hook", "wanted"),
        [
            ("modeld_register_backends", "a Backend"),
            ("modeld_register_observers", "a Observer"),
            ("modeld_register_middleware", "a starlette.middleware.Middleware"),
        ],
    )
    @pytest.mark.parametrize("thing", ["text", object(), None, Thing])
    def test_where_one_thing_is_of_another_kind_the_plugin_goes_as_a_whole(
        self, hook: str, wanted: str, thing: object
    ) -> None:
        plugin = type("Plugin", (), {hook: hookimpl(lambda self: [thing])})()
        assert wanted in why_broken(plugin)

    @pytest.mark.parametrize(
        ("hook", "kind", "wanted"),
        [
            ("modeld_register_sources", "a source", "a RegistrySource"),
            ("modeld_register_eviction_policies", "an eviction policy", "a EvictionPolicy"),
            ("modeld_register_formatters", "a formatter", "a OutputFormatter"),
            ("modeld_register_commands", "a command", "a Command"),
        ],
    )
    @pytest.mark.parametrize("thing", ["text", object(), None, Thing])
    def test_a_thing_of_another_kind_that_can_be_spared_goes_alone(
        self, hook: str, kind: str, wanted: str, thing: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        plugin = type("Plugin", (Brings,), {hook: hookimpl(lambda self: [thing])})(Thing("mine"))
        status = status_of(discover({"odd": plugin}), "odd")
        assert (status.state, status.provides) == ("active", ("backend mine",))
        assert status.reason is not None
        assert status.reason.startswith(f"{kind} is left out: it brought ")
        assert status.reason.endswith(f", which is not {wanted}")
        assert caplog.messages == [f"plugin 'odd': {status.reason}"]

    def test_beside_a_formatter_that_is_none_the_others_of_its_plugin_are_used(self) -> None:
        class Plain(OutputFormatter):
            name = "plain"
            media_type = "text/plain"

            def encode(self, chunk: Chunk) -> bytes:
                return b""

            def encode_error(self, error: ModeldError, status: int) -> bytes:
                return b""

        class Nameless(Plain):
            name = property(lambda self: 1 / 0)  # type: ignore[assignment]

        class Plugin:
            @hookimpl
            def modeld_register_formatters(self) -> list[Any]:
                return [Nameless(), Plain()]

        host = discover({"mine": Plugin()})
        status = status_of(host, "mine")
        assert (status.state, status.provides) == ("active", ("formatter plain",))
        assert status.reason == (
            "a formatter is left out: it raised ZeroDivisionError: division by zero"
        )
        assert "plain" in host.formatters

    @pytest.mark.parametrize("name", ["", None, 7])
    def test_things_need_a_name(self, name: Any) -> None:
        assert "an object with a name" in why_broken(Brings(Thing(name)))

    def test_a_thing_that_never_got_a_name_is_refused(self) -> None:
        class Forgetful(Thing):
            def __init__(self) -> None:
                pass

        assert "an object with a name" in why_broken(Brings(Forgetful()))

    def test_a_thing_whose_name_raises_is_refused(self) -> None:
        class Shy(Thing):
            def __init__(self) -> None:
                pass

            @property
            def name(self) -> str:  # type: ignore[override]
                raise RuntimeError("not telling")

        assert "not telling" in why_broken(Brings(Shy()))

    def test_a_plugin_whose_properties_raise_is_not_asked_for_them(self) -> None:
        class Plugin(Brings):
            @property
            def device(self) -> str:
                raise RuntimeError("no GPU here")

        assert status_of(discover({"mine": Plugin(Thing("x"))}), "mine").state == "active"

    @pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, MemoryError])
    def test_whatever_a_hook_raises_stops_nothing_else(self, error: type[BaseException]) -> None:
        class Plugin:
            @hookimpl
            def modeld_register_sources(self) -> list[Any]:
                raise error("oops")

        reason = why_broken(Plugin())
        assert reason == f"modeld_register_sources raised {error.__name__}: oops"

    def test_a_hook_that_hangs_is_left_behind(self) -> None:
        gate = threading.Event()

        class Plugin:
            @hookimpl
            def modeld_register_sources(self) -> list[Any]:
                gate.wait()
                return []

        reason = why_broken(Plugin(), plugin_timeout_s=0.2)
        gate.set()
        assert reason == "modeld_register_sources took longer than 0.2 s"

    def test_a_class_that_hangs_when_it_is_made_is_left_behind(self) -> None:
        gate = threading.Event()

        class Plugin:
            def __init__(self) -> None:
                gate.wait()

        reason = why_broken(Plugin, plugin_timeout_s=0.2)
        gate.set()
        assert reason == "import took longer than 0.2 s"

    def test_of_a_plugin_that_is_broken_in_one_hook_nothing_is_taken(self) -> None:
        class Plugin(Brings):
            @hookimpl
            def modeld_register_observers(self) -> list[Any]:
                raise RuntimeError("oops")

            @hookimpl
            def modeld_choose_backend(self) -> Backend:
                raise AssertionError("a broken plugin is not asked")

        host = discover({"broken": Plugin(Thing("lost")), "sound": Brings(Thing("x", loads=True))})
        assert "lost" not in host.backends
        spec = ModelSpec(id="m", name="m", path="/m.zoo", format="zoo")
        assert host.choose_backend(spec).name == "x"

    def test_a_middleware_may_be_any_callable(self) -> None:
        from starlette.middleware import Middleware

        def around(app: Any, depth: int) -> Any:
            return app

        class Plugin:
            @hookimpl
            def modeld_register_middleware(self) -> list[Any]:
                return [Middleware(functools.partial(around, depth=2)), Middleware(around, depth=1)]

        host = discover({"mine": Plugin()})
        assert status_of(host, "mine").state == "active"
        assert len(host.middleware) == 2
