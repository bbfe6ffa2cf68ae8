# SPDX-License-Identifier: GPL-3.0-only
"""The source of OpenVINO models."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from modeld_openvino.folder import OpenVinoFolder
from openvino_folder import CONFIG

from modeld import ModelSpec
from modeld.errors import ConfigurationError
from modeld.values import MetadataValue

FILES = (
    "openvino_model.xml",
    "openvino_model.bin",
    "openvino_tokenizer.xml",
    "openvino_detokenizer.xml",
)


def a_model(folder: Path, config: str = '{"model_type": "qwen3", "hidden_size": 64}') -> Path:
    """Write what a model's folder has, without a network."""
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(b"x" * 10)
    (folder / "config.json").write_text(config)
    return folder


def found(folder: Path, *, follow_links: bool = True) -> list[ModelSpec]:
    source = OpenVinoFolder(str(folder), follow_links=follow_links)
    return list(asyncio.run(source.list_models()))


def test_folders_with_a_network_are_models_by_their_path(tmp_path: Path) -> None:
    a_model(tmp_path / "vendor" / "qwen")
    a_model(tmp_path / "b")
    a_model(tmp_path / ".hidden" / "c")
    (tmp_path / "empty").mkdir()
    b, qwen = found(tmp_path)
    assert (b.id, qwen.id, qwen.name) == ("b", "vendor--qwen", "qwen")
    assert (qwen.format, qwen.family, qwen.source) == ("openvino", "qwen3", "openvino-folder")
    assert (qwen.size_bytes, qwen.weights_bytes, qwen.problem) == (20, 10, None)
    assert qwen.metadata == {"model_type": "qwen3", "hidden_size": 64}
    assert qwen.stamp is not None


@pytest.mark.parametrize("missing", [*FILES[1:], "config.json"])
def test_one_that_lacks_a_file_is_listed_with_that(tmp_path: Path, missing: str) -> None:
    (a_model(tmp_path / "a") / missing).unlink()
    (spec,) = found(tmp_path)
    assert spec.problem == f"{missing} missing beside openvino_model.xml"


@pytest.mark.parametrize("config", ["", "[]", "{", '{"a": ' + '"x' * 600_000])
def test_a_broken_configuration_is_the_models_problem(tmp_path: Path, config: str) -> None:
    a_model(tmp_path / "a", config)
    a_model(tmp_path / "b")
    broken, sound = found(tmp_path)
    assert broken.problem is not None
    assert broken.problem.startswith("config.json cannot be read: ")
    assert sound.problem is None


def test_one_whose_weights_have_gone_meanwhile_says_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_model(tmp_path / "a")

    def read(_path: Path) -> dict[str, MetadataValue]:
        (folder / "openvino_model.bin").unlink()
        return {}

    monkeypatch.setattr("modeld_openvino.folder._config_of", read)
    (spec,) = found(tmp_path)
    assert spec.problem is not None
    assert spec.problem.startswith("its files cannot be read: ")
    assert "openvino_model.bin" in spec.problem


def test_links_are_followed_once_and_only_where_that_is_set(tmp_path: Path) -> None:
    models = tmp_path / "models"
    a_model(models / "own")
    a_model(tmp_path / "elsewhere")
    (models / "linked").symlink_to(tmp_path / "elsewhere")
    (models / "circle").symlink_to(models)
    assert [spec.id for spec in found(models)] == ["linked", "own"]
    assert [spec.id for spec in found(models, follow_links=False)] == ["own"]


def test_a_folder_that_cannot_be_read_is_an_error_and_no_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        found(tmp_path / "none")


def test_a_folders_numbers_are_those_of_its_configuration(tmp_path: Path) -> None:
    a_model(tmp_path / "a", json.dumps(CONFIG | {"rope_scaling": None}))
    (spec,) = found(tmp_path)
    assert spec.context_length == 8192
    assert spec.metadata["num_hidden_layers"] == 2
    assert "rope_scaling" not in spec.metadata
