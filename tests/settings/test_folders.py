# SPDX-License-Identifier: GPL-3.0-only
from pathlib import Path

import pytest

from modeld.settings import Settings, resolve
from modeld.settings.folders import joined, split


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("~/models/llm", ("~/models/llm",)),
        ("a, b ,a,,c", ("a", "b", "c")),
        (r"one\,two,three", ("one,two", "three")),
        (",", ()),
    ],
)
def test_folders_stand_in_a_text_with_commas_between(text: str, folders: tuple[str, ...]) -> None:
    assert split(text) == folders
    assert split(joined(folders)) == folders


def test_a_file_may_have_them_as_a_list(tmp_path: Path) -> None:
    config = tmp_path / "modeld.yaml"
    config.write_text('models_dir: ["a,b", c]')
    settings = resolve({}, {}, str(config)).settings
    assert settings.model_folders == ("a,b", "c")
    assert Settings(models_dir="one").model_folders == ("one",)
