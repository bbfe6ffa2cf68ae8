# SPDX-License-Identifier: GPL-3.0-only
"""Finding plugins by entry point and by hand, and what the host does with them."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta

from modeld import (
    Backend,
    BackendSampling,
    Candidate,
    Chunk,
    EvictionPolicy,
    ModeldError,
    ModelService,
    ModelSpec,
    Observer,
    OutputFormatter,
    RegistrySource,
    Settings,
    hookimpl,
)
from modeld.errors import ConfigurationError
from modeld.events import Event, ModelLoading
from modeld.plugins.host import PluginHost
from modeld.plugins.installed_plugin import GROUP
from tests.support.plugins.some_plugins import ZOO, Brings, Elsewhere, Thing, discover, status_of


class Narrow(BackendSampling, frozen=True):
    depth: Annotated[Annotated[int, Meta(ge=1, le=9)] | None, Meta(description="x")] = None


class Wide(BackendSampling, frozen=True):
    depth: Annotated[Annotated[int, Meta(ge=0, le=5)] | None, Meta(description="x")] = None


class Spoken(BackendSampling, frozen=True):
    depth: Annotated[str | None, Meta(description="x")] = None


class Eager:
    """Notes what it is asked for; a real one would start threads for its observers."""

    asked: ClassVar[list[str]] = []

    @hookimpl
    def modeld_register_backends(self) -> list[Backend]:
        self.asked.append("backends")
        return []

    @hookimpl
    def modeld_register_observers(self) -> list[Observer]:
        self.asked.append("observers")
        return []


class Rude:
    """Cannot even be written."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture(autouse=True, scope="session")
def warm() -> None:
    """Import the built-in plugins once, so that no short time limit below is theirs."""
    PluginHost.discover(Settings())


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts one part of the zoo on the path; at the end its animals are let go and forgotten."""
    yield lambda part: monkeypatch.syspath_prepend(ZOO / part)
    if "modeld_zoo.gate" in sys.modules:
        sys.modules["modeld_zoo.gate"].GATE.set()
    for thread in threading.enumerate():
        if thread.name.startswith("modeld-plugin-"):
            thread.join(10)
    for name in list(sys.modules):
        if name.startswith(("modeld_zoo", "zoo_twins")):
            del sys.modules[name]


class TestByEntryPoint:
    def test_the_built_in_plugins_come_through_the_same_door(self) -> None:
        host = discover()
        assert "lru" in host.eviction_policies
        assert "gguf-folder" in host.sources
        assert {"ndjson", "sse"} <= set(host.formatters)
        assert status_of(host, "lru").distribution == "modeld"
        assert status_of(host, "lru").provides == ("eviction policy lru",)
        assert all(status.state == "active" for status in host.statuses())

    def test_plugins_are_listed_by_name(self) -> None:
        names = [status.name for status in discover().statuses()]
        assert names == sorted(names)

    def test_each_broken_plugin_is_listed_with_its_reason_and_the_others_work(
        self, visit: Callable[[str], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        visit("broken")

        host = discover(plugin_timeout_s=0.3)

        reasons = {
            "zoo-exits": "import raised SystemExit: 3",
            "zoo-foreign": "which is not a Backend",
            "zoo-hangs-at-import": "import took longer than 0.3 s",
            "zoo-hangs-in-hook": "modeld_register_backends took longer than 0.3 s",
            "zoo-import-error": "import raised ImportError: libgpu.so.7 is not installed",
            "zoo-misspelt": "unknown hook 'modeld_register_backend'",
            "zoo-missing-module": "No module named 'modeld_zoo.missing'",
            "zoo-missing-name": "has no attribute 'Missing'",
            "zoo-nameless": "which is not an object with a name",
            "zoo-needs-argument": "import raised TypeError",
            "zoo-quits-in-hook": "modeld_register_backends raised SystemExit: goodbye",
            "zoo-raises": "modeld_register_backends raised RuntimeError: no GPU here",
            "zoo-raises-late": "modeld_register_backends raised RuntimeError: no second GPU here",
            "zoo-text": "modeld_register_backends returned 'backend', not a list",
            "zoo-unmarked": "modeld_register_backends is not marked with @modeld.hookimpl",
            "zoo-wrong-argument": "config",
        }
        broken = {status.name: status for status in host.statuses() if status.state == "broken"}
        assert sorted(broken) == sorted(reasons)
        for name, status in broken.items():
            assert status.reason is not None
            assert reasons[name] in status.reason, name
            assert (status.distribution, status.version) == ("modeld-zoo", "1.0")
            assert status.provides == ()
            assert f"plugin {name!r} is left out" in caplog.text
        assert status_of(host, "zoo-good").provides == ("backend cat", "backend dog")
        assert set(host.backends) >= {"cat", "dog", "fox", "ant", "bee"}
        assert "lost" not in host.backends, "of a broken plugin nothing is taken"
        assert "lru" in host.eviction_policies

    def test_a_class_is_made_anew_for_each_host(self, visit: Callable[[str], None]) -> None:
        visit("broken")
        first, second = discover(plugin_timeout_s=0.2), discover(plugin_timeout_s=0.2)
        assert first.backends["fox"] is not second.backends["fox"]

    def test_a_generator_is_as_good_as_a_list(self, visit: Callable[[str], None]) -> None:
        visit("broken")
        host = discover(plugin_timeout_s=0.2)
        assert status_of(host, "zoo-generator").provides == ("backend bee", "backend ant")

    def test_a_blocked_plugin_is_listed_and_not_even_imported(
        self, visit: Callable[[str], None]
    ) -> None:
        visit("broken")
        host = discover(plugin_timeout_s=0.2, block_plugins=("zoo-import-error", "zoo-good"))
        status = status_of(host, "zoo-good")
        assert (status.state, status.provides, status.reason) == ("blocked", (), None)
        assert "cat" not in host.backends
        assert status_of(host, "zoo-import-error").state == "blocked"
        assert "modeld_zoo.import_error" not in sys.modules

    def test_a_blocked_plugin_that_is_not_there_is_warned_of(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        discover(block_plugins=("lrru",))
        said = "block_plugins: there is no plugin 'lrru'; did you mean 'lru'?"
        assert caplog.messages == [said]

    def test_two_of_one_kind_with_one_name_stop_the_start_and_both_are_named(
        self, visit: Callable[[str], None]
    ) -> None:
        visit("same_thing")
        with pytest.raises(ConfigurationError) as caught:
            discover()
        assert caught.value.message == (
            "two plugins bring a backend named 'twin': 'twin-one' and 'twin-two';"
            " leave one out with --block-plugins twin-two"
        )
        host = discover(block_plugins=("twin-two",))
        assert status_of(host, "twin-one").provides == ("backend twin",)

    def test_sampling_alone_is_found_as_with_everything_else(self) -> None:
        assert PluginHost.discover_sampling(Settings()) == discover().sampling != ()
        assert PluginHost.discover_sampling(Settings(block_plugins=("llama-cpp", "openvino"))) == ()

    def test_for_sampling_alone_a_plugin_is_asked_for_its_backends_and_nothing_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = EntryPoint("eager", f"{__name__}:Eager", GROUP)
        monkeypatch.setattr("modeld.plugins.installed_plugin.entry_points", lambda group: [entry])
        monkeypatch.setattr(Eager, "asked", [])
        assert PluginHost.discover_sampling(Settings()) == ()
        assert Eager.asked == ["backends"]

    def test_modeld_itself_brings_no_backend(self) -> None:
        """Else what it declares would be missing where sampling alone is looked for."""
        others = tuple(
            entry.name
            for entry in entry_points(group=GROUP)
            if not entry.value.startswith("modeld.builtin.")
        )
        assert discover(block_plugins=others).backends == {}

    def test_what_two_backends_declare_of_sampling_is_one_row_that_names_both(self) -> None:
        one, two = Thing("one"), Thing("two")
        one.sampling_type, two.sampling_type = Narrow, Wide  # type: ignore[misc]
        host = discover(
            {"a": Brings(one), "b": Brings(two)}, block_plugins=("llama-cpp", "openvino")
        )
        (row,) = host.sampling
        assert (row.name, row.backends) == ("depth", ("one", "two"))
        assert row.expected == "a whole number from 0 to 9"

    def test_types_of_one_parameter_that_do_not_meet_stop_the_start_and_both_are_named(
        self,
    ) -> None:
        one, two = Thing("one"), Thing("two")
        one.sampling_type, two.sampling_type = Narrow, Spoken  # type: ignore[misc]
        with pytest.raises(ConfigurationError, match=r"one, two declare .* 'depth'.*block-plugins"):
            discover({"a": Brings(one), "b": Brings(two)})

    def test_two_plugins_of_one_name_stop_the_start_and_both_are_named(
        self, visit: Callable[[str], None]
    ) -> None:
        visit("same_name")
        with pytest.raises(ConfigurationError, match="two plugins are named 'twin'") as caught:
            discover()
        assert "one of zoo-one, one of zoo-two" in caught.value.message


class TestDuplicates:
    def test_two_extras_with_one_thing_stop_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="backend named 'x': 'a' and 'b'"):
            discover({"a": Brings(Thing("x")), "b": Brings(Thing("x"))})

    def test_one_plugin_that_brings_a_thing_twice_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="'a' brings more than one backend named 'x'"):
            discover({"a": Brings(Thing("x"), Thing("x"))})

    def test_things_of_two_kinds_may_have_one_name(self) -> None:
        class Watcher(Observer):
            name = "x"

            def notify(self, event: Event) -> None:
                pass

        class Plugin(Brings):
            @hookimpl
            def modeld_register_observers(self) -> list[Observer]:
                return [Watcher()]

        host = discover({"a": Plugin(Thing("x"))})
        assert status_of(host, "a").provides == ("backend x", "observer x")

    def test_an_extra_may_not_take_the_name_of_an_installed_plugin(self) -> None:
        with pytest.raises(ConfigurationError, match="one of modeld, one of the application"):
            discover({"lru": Brings()})

    def test_one_object_under_two_names_is_broken_under_the_second(self) -> None:
        plugin = Brings(Thing("x"))
        host = discover({"a": plugin, "b": plugin})
        assert [status_of(host, name).state for name in "ab"] == ["active", "broken"]


class Builder:
    def __init__(self, build: Callable[[Callable[[], ModelService]], Any]) -> None:
        self._build = build

    @hookimpl
    def modeld_build_service(
        self, settings: Settings, build_local: Callable[[], ModelService]
    ) -> Any:
        assert isinstance(settings, Settings)
        return self._build(build_local)


class TestBuildingTheService:
    def test_without_a_plugin_it_is_the_local_one(self) -> None:
        local = Elsewhere()
        assert discover().build_service(lambda: local) is local

    def test_a_plugin_may_put_another_in_its_place(self) -> None:
        def never() -> ModelService:
            raise AssertionError("nobody has asked for the local one")

        other = Elsewhere()
        host = discover({"builder": Builder(lambda _build_local: other)})
        assert host.build_service(never) is other

    def test_a_plugin_may_wrap_the_local_one(self) -> None:
        class Wrapper(Elsewhere):
            def __init__(self, inner: ModelService) -> None:
                self.inner = inner

        local = Elsewhere()
        host = discover({"builder": Builder(lambda build_local: Wrapper(build_local()))})
        built = host.build_service(lambda: local)
        assert isinstance(built, Wrapper)
        assert built.inner is local

    def test_a_plugin_that_declines_leaves_it_to_the_local_one(self) -> None:
        local = Elsewhere()
        host = discover({"builder": Builder(lambda _build_local: None)})
        assert host.build_service(lambda: local) is local

    def test_a_plugin_that_raises_stops_the_start(self) -> None:
        def boom(build_local: object) -> Any:
            raise RuntimeError("no cluster")

        with pytest.raises(
            ConfigurationError, match="modeld_build_service raised RuntimeError: no cluster"
        ):
            discover({"builder": Builder(boom)}).build_service(Elsewhere)

    @pytest.mark.parametrize("built", ["service", 0, [], object()])
    def test_what_is_no_service_stops_the_start(self, built: object) -> None:
        with pytest.raises(ConfigurationError, match="not a ModelService"):
            discover({"builder": Builder(lambda _build_local: built)}).build_service(Elsewhere)

    def test_a_plugin_that_hangs_stops_the_start_in_time(self) -> None:
        gate = threading.Event()
        host = discover({"builder": Builder(lambda _b: gate.wait() or None)}, plugin_timeout_s=0.2)
        raised: list[BaseException] = []

        def build() -> None:
            try:
                host.build_service(Elsewhere)
            except BaseException as exc:  # noqa: BLE001  (the test looks at it)
                raised.append(exc)

        building = threading.Thread(target=build, daemon=True)
        building.start()
        building.join(3)
        in_time = not building.is_alive()
        gate.set()
        building.join()
        assert in_time
        assert isinstance(raised[0], ConfigurationError)


class Recorder(Observer):
    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.events: list[Event] = []
        self._error = error

    def notify(self, event: Event) -> None:
        self.events.append(event)
        if self._error is not None:
            raise self._error


class TestObservers:
    def host(self, *observers: Observer) -> PluginHost:
        host = PluginHost(Settings())
        host.observers = {observer.name: observer for observer in observers}
        return host

    def test_each_is_told_every_event(self) -> None:
        one, two = Recorder("one"), Recorder("two")
        host = self.host(one, two)
        events = [ModelLoading(model="a"), ModelLoading(model="b")]
        for event in events:
            host.notify(event)
        assert one.events == two.events == events

    def test_one_that_raises_is_logged_once_and_told_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad, good = Recorder("bad", RuntimeError("oops")), Recorder("good")
        host = self.host(bad, good)
        with caplog.at_level(logging.ERROR):
            for _ in range(5):
                host.notify(ModelLoading(model="a"))
        assert len(good.events) == len(bad.events) == 5
        assert [record.getMessage() for record in caplog.records] == [
            "observer 'bad' failed: RuntimeError: oops"
        ]


class Coin(EvictionPolicy):
    name = "coin"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        return candidates


class Everything:
    """A plugin that brings one of each kind."""

    @hookimpl
    def modeld_register_backends(self, settings: Settings) -> list[Backend]:
        assert isinstance(settings, Settings)
        return [Thing("everything")]

    @hookimpl
    def modeld_register_eviction_policies(self) -> list[EvictionPolicy]:
        return [Coin()]

    @hookimpl
    def modeld_register_sources(self) -> list[RegistrySource]:
        class Nowhere(RegistrySource):
            name = "nowhere"

            async def list_models(self) -> Sequence[ModelSpec]:
                return []

        return [Nowhere()]

    @hookimpl
    def modeld_register_formatters(self) -> list[OutputFormatter]:
        class Blank(OutputFormatter):
            name = "blank"
            media_type = "text/blank"

            def encode(self, chunk: Chunk) -> bytes:
                return b""

            def encode_error(self, error: ModeldError, status: int) -> bytes:
                return b""

        return [Blank()]

    @hookimpl
    def modeld_register_observers(self) -> list[Observer]:
        return [Recorder("recorder")]


class TestTheHost:
    def test_a_plugin_may_bring_one_of_each_kind(self) -> None:
        host = discover({"everything": Everything()}, eviction_policy="coin")
        assert status_of(host, "everything").provides == (
            "backend everything",
            "source nowhere",
            "eviction policy coin",
            "formatter blank",
            "observer recorder",
        )
        assert host.policy().name == Coin.name
        assert host.policy().choose([], 1) == []
        assert "nowhere" in host.sources
        assert "blank" in host.formatters
        assert "recorder" in host.observers

    def test_an_unknown_policy_stops_the_start_and_the_nearest_is_named(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            discover({"everything": Everything()}, eviction_policy="coins")
        assert "no installed plugin brings 'coins'" in caught.value.message
        assert "lru" in caught.value.message
        assert "did you mean 'coin'?" in caught.value.message
        assert caught.value.field == "eviction_policy"

    def test_two_hosts_share_nothing(self) -> None:
        first, second = discover({"everything": Everything}), discover({"everything": Everything})
        assert first.backends["everything"] is not second.backends["everything"]
        for kind in ("backends", "sources", "eviction_policies", "formatters", "observers"):
            assert getattr(first, kind) is not getattr(second, kind)
        assert "everything" not in discover().backends
        recorder = second.observers["recorder"]
        assert isinstance(recorder, Recorder)
        first.notify(ModelLoading(model="a"))
        assert recorder.events == []

    def test_routes_are_collected_and_a_path_is_taken_once(self) -> None:
        from starlette.routing import Route

        async def page(request: Any) -> Any:
            raise NotImplementedError

        class Pages(Brings):
            def __init__(self, *paths: object) -> None:
                super().__init__(*([Thing("kept")] if 7 in paths else []))
                self._paths = paths

            @hookimpl
            def modeld_register_routes(
                self, settings: Settings, service: ModelService
            ) -> list[Any]:
                assert isinstance(service, ModelService)
                return [Route(p, page) if isinstance(p, str) else p for p in self._paths]

        rude = Pages("/v", Rude())
        host = discover({"a": Pages("/x", "/y"), "b": Pages("/z"), "c": Pages("/w", 7), "d": rude})
        found = host.routes(Elsewhere())
        paths = [getattr(getattr(route, "route", route), "path", "") for route in found]
        assert set(paths) >= {"/x", "/y", "/z"}
        assert "/w" not in paths
        assert "/v" not in paths
        assert [status_of(host, name).state for name in "cd"] == ["active", "active"]
        assert status_of(host, "c").provides == ("backend kept",)
        assert status_of(host, "c").reason == (
            "its routes are left out: it brought 7, which is not a Starlette route"
        )
        assert "its routes are left out: it brought (which raises" in (
            status_of(host, "d").reason or ""
        )
        assert "route /x" in status_of(host, "a").provides
        with pytest.raises(ConfigurationError, match="a route named '/x': 'a' and 'b'"):
            discover({"a": Pages("/x"), "b": Pages("/x")}).routes(Elsewhere())
