# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from modeld import ModelSpec, Settings
from modeld.builtin.gguf.problems import ModelsFolderError
from modeld.builtin.ollama.store import (
    OllamaStore,
    OllamaStoreSettings,
    modeld_register_sources,
    store_of,
)
from modeld.testing import SourceContract
from tests.support.gguf.gguf_corpus import model_bytes

GOOD = model_bytes()
KIND = "application/vnd.ollama.image."


def put(store: Path, content: bytes, sign: str = "-") -> str:
    digest = hashlib.sha256(content).hexdigest()
    blob = store / "blobs" / f"sha256{sign}{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    return f"sha256:{digest}"


def pull(store: Path, where: str, layers: dict[str, bytes], sign: str = "-") -> Path:
    """Put a model into the store as `ollama pull` does, and return its manifest."""
    manifest = store / "manifests" / where
    manifest.parent.mkdir(parents=True, exist_ok=True)
    listed = [
        {"mediaType": KIND + kind, "digest": put(store, content, sign), "size": len(content)}
        for kind, content in layers.items()
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": listed}))
    return manifest


def models_in(store: Path) -> dict[str, ModelSpec]:
    return {spec.id: spec for spec in asyncio.run(OllamaStore(str(store)).list_models())}


def params(**values: Any) -> bytes:
    return json.dumps(values).encode()


def test_models_go_by_the_names_that_ollama_lists(tmp_path: Path) -> None:
    for where in (
        "registry.ollama.ai/library/llama3.2/latest",
        "registry.ollama.ai/library/llama3.2/1b",
        "registry.ollama.ai/someone/tiny/q4",
        "hf.co/org/tiny-GGUF/Q4_0",
    ):
        pull(tmp_path, where, {"model": GOOD})
    found = models_in(tmp_path)
    assert {model: spec.aliases for model, spec in found.items()} == {
        "hf.co/org/tiny-GGUF:Q4_0": (),
        "llama3.2:1b": (),
        "llama3.2:latest": ("llama3.2",),
        "someone/tiny:q4": (),
    }
    spec = found["llama3.2:1b"]
    assert (spec.name, spec.problem, spec.source) == ("Tiny Llama", None, "ollama-store")
    assert Path(spec.path).read_bytes() == GOOD


def test_a_store_of_an_older_version_has_another_sign(tmp_path: Path) -> None:
    pull(tmp_path, "registry.ollama.ai/library/a/latest", {"model": GOOD}, sign=":")
    assert models_in(tmp_path)["a:latest"].problem is None


def test_a_model_without_a_name_is_called_as_its_id(tmp_path: Path) -> None:
    pull(tmp_path, "registry.ollama.ai/library/a/1b", {"model": model_bytes(name="")})
    assert models_in(tmp_path)["a:1b"].name == "a:1b"


def test_parameters_become_options_and_what_is_left_out_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layers = {
        "model": model_bytes(chat_template=None),
        "template": b"{{ .Prompt }}",
        "system": b"You are a pirate.",
        "params": params(
            num_ctx=4096, num_gpu=-1, num_thread=0, use_mmap=False, temperature=0.6, stop=["<e>"]
        ),
        "adapter": b"not read",
        "projector": b"not read either",
    }
    pull(tmp_path, "registry.ollama.ai/library/a/1b", layers)
    store = OllamaStore(str(tmp_path))
    with caplog.at_level(logging.INFO):
        [spec] = asyncio.run(store.list_models())
        asyncio.run(store.list_models())
    adapter = tmp_path / "blobs" / f"sha256-{hashlib.sha256(layers['adapter']).hexdigest()}"
    assert spec.options == {"context": 4096, "mmap": False, "lora": [{"path": str(adapter)}]}
    assert Path(spec.projector or "").read_bytes() == layers["projector"]
    [said] = caplog.messages
    assert said == (
        "a:1b: not taken over from Ollama: the parameter stop, the parameter temperature,"
        " its system prompt, its template, and its file has none for chats"
    )


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ({"license": b"free"}, "it names no GGUF files; one is needed"),
        ({"model": GOOD, "params": b"[]"}, "Expected `object`, got `array`"),
        ({"model": GOOD, "params": b" " * (1 << 21)}, "has more than 1048576 bytes"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(
    tmp_path: Path, layers: dict[str, bytes], why: str
) -> None:
    pull(tmp_path, "registry.ollama.ai/library/a/1b", layers)
    assert why in (models_in(tmp_path)["a:1b"].problem or "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Input data was truncated"),
        ('{"layers": [], "x": ' + "[" * 100_000, "it is nested too deeply"),
        ('{"layers": [{"mediaType": "x", "digest": "../../etc/passwd"}]}', "is no digest"),
    ],
)
def test_what_is_no_manifest_says_so(tmp_path: Path, content: str, why: str) -> None:
    pull(tmp_path, "registry.ollama.ai/library/a/1b", {"model": GOOD}).write_text(content)
    assert why in (models_in(tmp_path)["a:1b"].problem or "")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    manifest = pull(tmp_path, "registry.ollama.ai/library/a/1b", {"model": GOOD})
    manifest.unlink()
    os.mkfifo(manifest)
    pull(tmp_path, "registry.ollama.ai/library/b/1b", {"model": GOOD, "params": b"{}"})
    blob = tmp_path / "blobs" / f"sha256-{hashlib.sha256(b'{}').hexdigest()}"
    blob.unlink()
    os.mkfifo(blob)
    pull(tmp_path, "registry.ollama.ai/library/c/1b", {"model": GOOD})
    problems = [spec.problem for spec in models_in(tmp_path).values()]
    assert [str(problem).rpartition(": ")[2] for problem in problems] == [
        "this is a FIFO, not a regular file",
        "this is a FIFO, not a regular file",
        "None",
    ]


def test_a_blob_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    pull(tmp_path, "registry.ollama.ai/library/a/1b", {"model": GOOD})
    next((tmp_path / "blobs").iterdir()).unlink()
    assert models_in(tmp_path)["a:1b"].problem == (
        "file cannot be followed: no such file or directory"
    )


def test_it_is_off_unless_it_is_turned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    pull(tmp_path, "registry.ollama.ai/library/a/1b", {"model": GOOD})
    assert list(modeld_register_sources(Settings())) == []
    own = OllamaStoreSettings(enabled=True)
    [source] = modeld_register_sources(Settings(plugins=(own,)))
    assert [spec.id for spec in asyncio.run(source.list_models())] == ["a:1b"]
    assert store_of({}).endswith(".ollama/models")


def test_a_store_that_is_missing_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelsFolderError, match=r"set ollama-store\.dir") as refused:
        models_in(tmp_path)
    assert refused.value.field == "ollama-store.dir"


class TestOllamaStore(SourceContract):
    lost = OllamaStore("/there/is/no/such/folder")

    @pytest.fixture
    def source(self, tmp_path: Path) -> OllamaStore:
        pull(tmp_path, "registry.ollama.ai/library/a/latest", {"model": GOOD})
        pull(tmp_path, "registry.ollama.ai/library/b/1b", {"license": b"free"})
        return OllamaStore(str(tmp_path))
