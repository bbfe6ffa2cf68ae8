# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import modeld
from modeld import ModeldApp, Models, Settings
from modeld.errors import ConfigurationError
from modeld.httpapi.app import create_app
from tests.support.gguf.gguf_corpus import write_model
from tests.support.http.fake_service import FakeService, make_app
from tests.test_import_weight import loaded_by

WEB = {"starlette", "uvicorn", "httptools", "pydantic", "h11", "click"}


def budget_mb(*given: Any, **settings: Any) -> int:
    """Return the budget of what is opened so, once it has started."""
    with modeld.open_blocking(*given, **settings) as models:
        return (models.status().budget_bytes or 0) >> 20


def test_settings_are_keywords_before_the_environment_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "modeld.yaml"
    config.write_text("{memory_budget_mb: 300, warm_workers: 0}")
    monkeypatch.setenv("MODELD_MODELS_DIR", str(tmp_path))
    assert budget_mb(config) == budget_mb(str(config)) == 300
    assert budget_mb(config, memory_budget_mb="1GiB") == 1024
    monkeypatch.setenv("MODELD_MEMORY_BUDGET_MB", "400")
    assert budget_mb(config) == 400
    assert budget_mb(config, vram_budget_mb=500) == 500
    monkeypatch.setenv("MODELD_CONFIG", str(config))
    assert budget_mb(memory_budget_mb=600) == 600


def test_settings_may_be_one_value_and_then_nothing_else_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELD_MEMORY_BUDGET_MB", "400")
    settings = Settings(models_dir=str(tmp_path), warm_workers=0, memory_budget_mb=300)
    assert budget_mb(settings) == 300
    with pytest.raises(ConfigurationError, match="models_dir: set it in the Settings"):
        modeld.open(settings, models_dir="elsewhere")  # type: ignore[call-overload]


def test_the_models_of_a_folder_are_found_with_what_is_installed(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny.gguf")

    async def main() -> None:
        async with modeld.open(models_dir=tmp_path, warm_workers=0) as models:
            assert [spec.id for spec in await models.list()] == ["tiny.gguf"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_dir": "x"}, "model_dir: there is no such setting; did you mean 'models_dir'?"),
        ({"warm_workers": 99}, "warm_workers: expected a whole number from 0 to 16, got 99"),
        ({"memory_budget_mb": "8GB"}, "memory_budget_mb: expected auto, a whole number of MiB"),
        (
            {"memory_budget_mb": 1, "vram_budget_mb": 1},
            "vram_budget_mb is another name of memory_budget_mb",
        ),
        ({"memory_budget_mb": 1, "memory_margin_mb": 2}, "memory_margin_mb (2) leaves nothing"),
        ({"eviction_policy": "lrv"}, "eviction_policy: no installed plugin brings 'lrv'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(
    settings: dict[str, Any], message: str
) -> None:
    for verb in (modeld.open, modeld.open_blocking):
        with pytest.raises(ConfigurationError) as refused:
            verb(**settings)
        assert refused.value.message.startswith(message), refused.value.message


def test_an_application_is_used_by_its_host_with_the_same_verbs() -> None:
    async def main() -> None:
        service = FakeService()
        app = make_app(service)
        assert isinstance(app.models, Models)
        assert (await app.models.chat("m", [{"role": "user", "content": "hi"}])).content == "ab"
        assert service.calls == ["start"]
        await app.models.aclose()
        assert service.calls == ["start", "aclose"]

    asyncio.run(main())


def test_both_doors_have_the_service_that_a_plugin_puts_in_place() -> None:
    app: ModeldApp = create_app(Settings(models_dir="/nowhere"))
    models = modeld.open(Settings(models_dir="/nowhere"))
    assert type(app.models._service) is type(models._service)


USE = """
import tempfile, modeld
with modeld.open_blocking(models_dir=tempfile.mkdtemp(), warm_workers=0) as models:
    assert models.list() == ()
    try:
        models.chat("m", [{"role": "user", "content": "hi"}], max_tokens=1)
    except modeld.ModeldError as exc:
        assert exc.code == "model_not_found", exc
"""


def test_nothing_of_the_web_is_loaded_with_all_plugins_that_are_here() -> None:
    loaded = loaded_by(USE)
    assert {"modeld", "modeld_llama_cpp", "modeld_openai", "msgspec", "pluggy"} <= loaded
    assert loaded & (WEB | {"llama_cpp", "numpy"}) == set()
