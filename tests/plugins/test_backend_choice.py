# SPDX-License-Identifier: GPL-3.0-only
"""Which backend loads a model."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from modeld import (
    Backend,
    ModeldError,
    ModelSpec,
    Settings,
    hookimpl,
)
from modeld.errors import BackendUnavailableError, ConfigurationError
from modeld.plugins.host import PluginHost
from modeld.settings import ModelOptions
from tests.support.plugins.some_plugins import Brings, Thing, discover

SPEC = ModelSpec(id="smol", name="smol", path="/smol.zoo", format="zoo", family="llama")


class Chooser:
    """A plugin with a say in the choice of a backend."""

    def __init__(self, choose: Callable[[ModelSpec, Sequence[Backend]], Any]) -> None:
        self._choose = choose

    @hookimpl
    def modeld_choose_backend(self, spec: ModelSpec, backends: Sequence[Backend]) -> Any:
        return self._choose(spec, backends)


def two_backends() -> dict[str, object]:
    return {"mine": Brings(Thing("first", loads=True), Thing("second", loads=True))}


def bare(
    *backends: Backend, plugin: object | None = None, models: ModelOptions | None = None
) -> PluginHost:
    """Return a host with these backends and no installed plugin."""
    host = PluginHost(Settings(models=models or {}))
    host.backends = {backend.name: backend for backend in backends}
    if plugin is not None:
        host._hooks.register("chooser", plugin)
    return host


class TestChoosingABackend:
    def test_the_first_that_can_load_the_model_is_taken(self) -> None:
        host = bare(Thing("no"), Thing("yes", loads=True), Thing("too", loads=True))
        assert host.choose_backend(SPEC).name == "yes"

    def test_a_plugin_may_choose(self) -> None:
        chooser = Chooser(lambda spec, backends: backends[1] if spec is SPEC else None)
        host = discover({**two_backends(), "chooser": chooser})
        assert host.choose_backend(SPEC) is list(host.backends.values())[1]

    def test_a_plugin_without_an_opinion_leaves_the_choice_to_others(self) -> None:
        host = bare(Thing("yes", loads=True), plugin=Chooser(lambda _spec, _backends: None))
        assert host.choose_backend(SPEC).name == "yes"

    def test_a_plugin_that_raises_is_passed_over(self, caplog: pytest.LogCaptureFixture) -> None:
        def boom(spec: ModelSpec, backends: Sequence[Backend]) -> Any:
            raise RuntimeError("oops")

        host = bare(Thing("yes", loads=True), plugin=Chooser(boom))
        assert host.choose_backend(SPEC).name == "yes"
        assert "modeld_choose_backend failed for 'smol'" in caplog.text
        (fault,) = host.faults.of("chooser")
        assert fault.thing == "modeld_choose_backend"
        assert fault.message.endswith("taking the first that fits: RuntimeError: oops")

    @pytest.mark.parametrize("foreign", [Thing("stranger", loads=True), "yes", 7])
    def test_what_is_no_registered_backend_is_passed_over(
        self, foreign: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = bare(Thing("yes", loads=True), plugin=Chooser(lambda _spec, _backends: foreign))
        assert host.choose_backend(SPEC).name == "yes"
        assert "not a registered backend" in caplog.text
        assert [fault.count for fault in host.faults.of("chooser")] == [1]

    def test_a_backend_that_raises_cannot_load(self, caplog: pytest.LogCaptureFixture) -> None:
        host = bare(Thing("raises", loads=RuntimeError("oops")), Thing("yes", loads=True))
        assert host.choose_backend(SPEC).name == "yes"
        assert "backend 'raises' failed to say whether it can load 'smol'" in caplog.text

    def test_without_a_backend_it_says_what_to_install(self) -> None:
        with pytest.raises(ModeldError, match=r"pip install modeld\[llama\]") as caught:
            bare().choose_backend(SPEC)
        assert caught.value.code == "backend_unavailable"

    def test_where_none_can_load_the_model_it_says_which_there_are(self) -> None:
        with pytest.raises(ModeldError) as caught:
            bare(Thing("a"), Thing("b")).choose_backend(SPEC)
        assert caught.value.message == (
            "no installed backend can load 'smol' (format 'zoo', family 'llama'); installed: a, b"
        )


class TestNamingABackendInTheSettings:
    def test_the_last_row_that_names_one_wins_over_the_order_and_over_plugins(self) -> None:
        backends = [Thing(name, loads=True) for name in ("a", "b", "c")]
        models: ModelOptions = {
            "*": {"backend": "b"},
            "smol": {"backend": "c"},
            "sm*": {"slots": 2},
            "other": {"backend": "a"},
        }
        plugin = Chooser(lambda _spec, backends: backends[0])
        assert bare(*backends, plugin=plugin, models=models).choose_backend(SPEC).name == "c"

    @pytest.mark.parametrize("name", ["bb", 7])
    def test_one_that_is_not_there_is_an_error_that_names_the_row(self, name: object) -> None:
        host = bare(Thing("b", loads=True), models={"sm*": {"backend": name}})
        with pytest.raises(
            ConfigurationError, match=r"models\['sm\*'\].backend: there is no"
        ) as it:
            host.choose_backend(SPEC)
        assert it.value.field == "models"

    def test_one_that_cannot_load_the_model_is_not_replaced_by_another(self) -> None:
        host = bare(Thing("a", loads=True), Thing("b"), models={"*": {"backend": "b"}})
        with pytest.raises(BackendUnavailableError, match="to the backend 'b', which cannot load"):
            host.choose_backend(SPEC)

    def test_the_source_names_one_too_and_is_told_when_that_cannot_load_it(self) -> None:
        spec = replace(SPEC, options={"backend": "b"})
        sound = bare(Thing("a", loads=True), Thing("b", loads=True))
        assert sound.choose_backend(spec).name == "b"
        with pytest.raises(BackendUnavailableError, match="its source gives 'smol' to the backend"):
            bare(Thing("a", loads=True), Thing("b")).choose_backend(spec)
        with pytest.raises(BackendUnavailableError, match="the settings give 'smol' to the"):
            bare(Thing("a"), Thing("b", loads=True), models={"*": {"backend": "a"}}).choose_backend(
                spec
            )
