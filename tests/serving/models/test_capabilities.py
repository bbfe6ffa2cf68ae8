# SPDX-License-Identifier: GPL-3.0-only
"""What backends say of models is checked, and what is nonsense is said of no model."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modeld import Backend, Engine, EngineHost, ModelSpec, Options, Settings, hookimpl
from modeld.capabilities import Capability
from modeld.device_bytes import UNLIMITED, DeviceBytes
from modeld.errors import LoadFailedError, ModeldError, NotSupportedError
from modeld.plugins.host import PluginHost
from modeld.serving.models.capabilities import capabilities, context, described
from modeld.values import Fit

SPEC = ModelSpec(id="a", name="a", path="/a", format="toy", capabilities=("magic",), context=1)


class Toy(Backend):
    """Says what a test wants it to say."""

    name = "toy"

    def __init__(self, capabilities: Any = (Capability.TEXT,), context: Any = 512) -> None:
        self._capabilities = capabilities
        self._context = context

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.format == "toy"

    def capabilities(self, spec: ModelSpec, options: Options) -> Any:
        return self._said(self._capabilities)

    def context(self, spec: ModelSpec, options: Options) -> Any:
        return self._said(self._context)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        raise NotImplementedError

    def _said(self, words: Any) -> Any:
        if isinstance(words, Exception):
            raise words
        return words


class Plugin:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @hookimpl
    def modeld_register_backends(self) -> list[Backend]:
        return [self._backend]


def listed(backend: Backend, spec: ModelSpec = SPEC, most_bytes: int | None = None) -> ModelSpec:
    settings = Settings()
    plugins = PluginHost.discover(settings, {"toy-plugin": Plugin(backend)})
    most = UNLIMITED if most_bytes is None else DeviceBytes(most_bytes)
    return described(spec, settings=settings, plugins=plugins, most=most)


@pytest.mark.parametrize(
    ("most_bytes", "fit", "short_by_bytes"),
    [
        (None, Fit.FITS, 0),
        (200, Fit.FITS, 0),
        (199, Fit.ALONE, 0),
        (100, Fit.ALONE, 0),
        (99, Fit.NEVER, 1),
        (0, Fit.NEVER, 100),
    ],
)
def test_a_model_is_listed_with_how_it_fits_into_the_budget(
    most_bytes: int | None, fit: Fit, short_by_bytes: int
) -> None:
    found = listed(Toy(), replace(SPEC, size_bytes=100), most_bytes)
    assert (found.need_bytes, found.fit, found.short_by_bytes) == (100, fit, short_by_bytes)


def test_of_a_model_that_cannot_be_estimated_no_fit_is_said_and_all_else_is() -> None:
    class Vague(Toy):
        def estimate(self, spec: ModelSpec, options: Options) -> Any:
            raise KeyError("block_count")

    found = listed(Vague(), replace(SPEC, need_bytes=1, fit=Fit.FITS, short_by_bytes=1))
    assert (found.need_bytes, found.fit, found.short_by_bytes) == (None, None, 0)
    assert found.capabilities == ("text",)


def test_a_model_is_listed_with_what_its_backend_says() -> None:
    found = listed(Toy((Capability.TEXT, Capability.CHAT)))
    assert (found.capabilities, found.context) == (("chat", "text"), 512)
    assert listed(Toy(context=None)).context is None


@pytest.mark.parametrize("words", [0, -1, True, 1.5, "512", ZeroDivisionError("no")])
def test_a_context_that_is_no_number_of_tokens_is_refused(words: object) -> None:
    with pytest.raises(LoadFailedError, match="backend 'toy': context"):
        context(Toy(context=words), SPEC, Options())
    assert listed(Toy(context=words)).capabilities == ()


@pytest.mark.parametrize("words", [("text",), 5, ZeroDivisionError("no")])
def test_capabilities_that_are_none_are_refused(words: object) -> None:
    with pytest.raises(LoadFailedError, match="backend 'toy': capabilities"):
        capabilities(Toy(words), SPEC, Options())
    assert listed(Toy(words)).context is None


def test_an_error_of_the_backends_own_goes_on_as_it_is() -> None:
    for asked in (capabilities, context):
        with pytest.raises(ModeldError, match="not on Mondays"):
            asked(Toy(*[NotSupportedError("not on Mondays")] * 2), SPEC, Options())


def test_nothing_is_said_of_a_model_that_no_backend_loads() -> None:
    found = listed(Toy(), ModelSpec(id="b", name="b", path="/b", format="other", context=1))
    assert (found.capabilities, found.context) == ((), None)
