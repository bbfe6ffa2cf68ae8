# SPDX-License-Identifier: GPL-3.0-only
"""The models of this machine, and the rule by which browser tests are live or mocked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["mock", "live"]
Wish = Literal["mock", "live", "auto"]

VARIABLE = "MODELD_TEST_MODELS"
DEFAULT = "~/models/llm"


class NoModelsError(Exception):
    """Live tests were asked for where there is no model; nothing is mocked in their place."""


@dataclass(frozen=True, kw_only=True)
class HostModels:
    """A folder, and the model files in it, the smallest first."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def default(self) -> str:
        """The id of the model that answers fastest, which is the smallest."""
        return self.files[0].name


def find(chosen: str | None, environ: Mapping[str, str]) -> HostModels:
    """The models in the folder that was chosen, or that the variable names, or the usual one."""
    folder = Path(chosen or environ.get(VARIABLE) or DEFAULT).expanduser().absolute()
    files = [file for file in folder.glob("*.gguf") if file.is_file() and _generates(file)]
    files.sort(key=lambda file: (file.stat().st_size, file.name))
    return HostModels(folder=folder, files=tuple(files))


def _generates(file: Path) -> bool:
    # A projector belongs to another model, and the second part of a model to the first.
    part = file.stem.rpartition("-of-")[0].rpartition("-")[2]
    return not file.name.startswith("mmproj") and (not part.isdecimal() or int(part) == 1)


def decide(wish: Wish, models: HostModels) -> Mode:
    """Live where there are models and mocked where there are none, or as it is wished.

    Raises:
        NoModelsError: live tests are wished, and there is no model.
    """
    if wish == "auto":
        return "live" if models.files else "mock"
    if wish == "live" and not models.files:
        raise NoModelsError(
            f"live tests need a *.gguf file in {models.folder}, and there is none; run"
            " `make models` and name its folder with `--models-dir models`, or run"
            " `test web mock`"
        )
    return wish
