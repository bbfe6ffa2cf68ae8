# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from modeld_llama_cpp.options import LlamaOptions, cells_for


def test_the_context_is_the_trained_length_up_to_4096() -> None:
    assert LlamaOptions().context_for(2048) == 2048
    assert LlamaOptions().context_for(131_072) == 4096
    assert LlamaOptions().context_for(None) == 4096
    assert LlamaOptions(context=9000).context_for(2048) == 9000


def test_a_step_has_a_place_for_every_slot() -> None:
    assert LlamaOptions().step_tokens == 128
    assert LlamaOptions(slots=200).step_tokens == 200
    assert LlamaOptions(batch=512, ubatch=64).step_tokens == 512


def test_cells_come_in_steps_of_256() -> None:
    assert [cells_for(context) for context in (1, 256, 257, 4096)] == [256, 256, 512, 4096]


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": 0},
        {"slots": 257},
        {"context": 0},
        {"batch": -1},
        {"ubatch": 0},
        {"threads": 0},
        {"gpu_layers": -1},
        {"mmap": "yes"},
        {"contxt": 4096},
    ],
)
def test_a_wrong_option_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"{next(iter(wrong))}"):
        msgspec.convert(wrong, LlamaOptions)


def test_the_readme_lists_every_option() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)
    assert sorted(listed) == sorted(LlamaOptions.__struct_fields__)
