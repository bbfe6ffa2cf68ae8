# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modeld import Settings
from modeld.builtin.manifest import Manifest, ManifestSettings, modeld_register_sources
from modeld.errors import ConfigurationError
from modeld.testing import SourceContract
from tests.support.gguf.gguf_corpus import write_model

LIST = """
models:
  - id: small-talk
    path: weights/one.gguf
    aliases: [gpt-4o-mini, default]
    options: {context: 2048}
    offers: [chat]
    projector: weights/pictures.gguf
  - {id: lost, path: nowhere.gguf, name: The lost one}
"""


def listed(tmp_path: Path, text: str, name: str = "models.yaml") -> Manifest:
    (tmp_path / name).write_text(text)
    return Manifest(str(tmp_path / name))


def test_each_row_is_a_model_and_its_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights" / "one.gguf")
    lost, found = asyncio.run(listed(tmp_path, LIST).list_models())
    assert (found.id, found.name, found.path, found.problem) == (
        "small-talk", "Tiny Llama", str(tmp_path / "weights" / "one.gguf"), None,
    )  # fmt: skip
    assert (found.aliases, found.options, found.offers, found.source) == (
        ("gpt-4o-mini", "default"), {"context": 2048}, ("chat",), "manifest",
    )  # fmt: skip
    assert found.projector == str(tmp_path / "weights" / "pictures.gguf")
    assert (lost.name, lost.problem) == (
        "The lost one", "file cannot be followed: no such file or directory",
    )  # fmt: skip


def test_a_split_model_is_listed_by_its_first_file(tmp_path: Path) -> None:
    for number, tensors in ((1, ("token_embd.weight", "a", "b")), (2, ("c", "d", "e"))):
        write_model(
            tmp_path / f"m-{number:05}-of-00002.gguf", split=(number - 1, 2, 6), tensors=tensors
        )
    manifest = listed(tmp_path, "models: [{id: m, path: m-00001-of-00002.gguf}]")
    assert asyncio.run(manifest.list_models())[0].problem is None
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    assert asyncio.run(manifest.list_models())[0].problem == "of 2 files these are missing: 2"


def test_no_file_of_a_split_model_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, tensors in ((1, ("token_embd.weight", "a", "b")), (2, ("c", "d", "e"))):
        write_model(
            tmp_path / f"m-{number:05}-of-00002.gguf", split=(number - 1, 2, 6), tensors=tensors
        )
    manifest = listed(tmp_path, "models: [{id: m, path: m-00001-of-00002.gguf}]")
    first = asyncio.run(manifest.list_models())
    monkeypatch.setattr("modeld.builtin.gguf.headers.read_header", None)
    assert asyncio.run(manifest.list_models()) == first


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("path: ~nobody-is-called-so/a.gguf", "cannot be used: Could not determine home"),
        ("path: one.gguf, projector: ~nobody-is-called-so/a", "cannot be used: Could not"),
        (r'path: "~a\0/b.gguf"', "cannot be used: embedded null byte"),
        (r'path: "a\0.gguf"', "has control characters"),
        (r'path: "a\0-00001-of-00002.gguf"', "of 2 files these are missing: 1, 2"),
        ("path: /", "this is a directory, not a regular file"),
    ],
)
def test_a_path_that_cannot_be_is_the_problem_of_its_model_alone(
    tmp_path: Path, row: str, why: str
) -> None:
    write_model(tmp_path / "one.gguf")
    manifest = listed(tmp_path, f"models: [{{id: bad, {row}}}, {{id: good, path: one.gguf}}]")
    bad, good = asyncio.run(manifest.list_models())
    assert why in (bad.problem or "")
    assert good.problem is None
    assert str(tmp_path) in manifest.watched_paths()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("models: [{id: a, pth: x}]", "models[0]: 'pth' is none of"),
        ("models: [{id: a, path: x}, {id: b, path: 5}]", "models[1].path"),
        ("models: [{id: a, path: x, offers: [magic]}]", "models[0].offers"),
        (
            "models: [{id: a, path: x}, {id: a, path: y}]",
            "models[1].id: 'a' is the id",
        ),
        ("models: [{id: a, id: b, path: x}]", "'id' stands twice"),
        ("model: []", "model"),
        ("- a", "expected a table"),
    ],
)
def test_a_wrong_row_names_itself(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(listed(tmp_path, text).list_models())
    assert why in refused.value.message


def test_the_folders_of_the_list_and_of_its_models_are_watched(tmp_path: Path) -> None:
    manifest = listed(tmp_path, LIST)
    assert manifest.watched_paths() == [str(tmp_path), str(tmp_path / "weights")]
    listed(tmp_path, "models: 5")
    assert manifest.watched_paths() == [str(tmp_path)]


def test_there_is_a_source_where_the_settings_name_a_list(tmp_path: Path) -> None:
    assert list(modeld_register_sources(Settings())) == []
    file = str(tmp_path / "models.json")
    [source] = modeld_register_sources(Settings(plugins=(ManifestSettings(file=file),)))
    (tmp_path / "models.json").write_text('{"models": [{"id": "a", "path": "a.gguf"}]}')
    assert [spec.id for spec in asyncio.run(source.list_models())] == ["a"]


class TestManifest(SourceContract):
    lost = Manifest("/there/is/no/such/list.yaml")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Manifest:
        (tmp_path / "weights").mkdir()
        write_model(tmp_path / "weights" / "one.gguf")
        return listed(tmp_path, LIST)
