# SPDX-License-Identifier: GPL-3.0-only
"""What the server asks the plugin for before anything is loaded."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import openvino_folder
import pytest
import random_gguf
from modeld_openvino import shape
from modeld_openvino.folder import OpenVinoFolder
from modeld_openvino.options import OpenVinoOptions
from modeld_openvino.plugin import OpenVino
from openvino_driver import ask, opened

from modeld import Done, ModelSpec, Options
from modeld.builtin.gguf.folder import GgufFolder
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.values import JsonValue

MIB = 1 << 20


def gguf(family: str = "llama", **metadata: object) -> ModelSpec:
    header = {"tokenizer.ggml.model": "gpt2", "general.file_type": 7} | metadata
    kept = {key: value for key, value in header.items() if value is not None}
    return ModelSpec(id="m", name="m", path="m", family=family, metadata=kept)


@pytest.mark.parametrize(
    ("spec", "can"),
    [
        (gguf(), True),
        (gguf("qwen3"), True),
        (gguf("gemma3"), False),
        (gguf(**{"tokenizer.ggml.model": "llama"}), False),
        (gguf(**{"llama.rope.scaling.type": "yarn"}), False),
        (gguf(**{"llama.rope.scaling.type": "none"}), True),
        (gguf(**{"general.file_type": None}), False),
        (ModelSpec(id="m", name="m", path="m", format="openvino"), True),
        (ModelSpec(id="m", name="m", path="m", format="safetensors"), False),
    ],
)
def test_it_takes_openvino_models_and_the_gguf_files_that_openvino_reads_right(
    spec: ModelSpec, can: bool
) -> None:
    assert OpenVino().can_load(spec) is can


@pytest.mark.parametrize(
    ("options", "context", "cache"),
    [
        ({}, 256, 256),
        ({"context": 33}, 33, 64),
        ({"context": 33, "device": "GPU.1"}, 33, 48),
    ],
)
def test_the_cache_has_whole_blocks_for_the_context_of_each_slot(
    options: dict[str, object], context: int, cache: int
) -> None:
    spec = msgspec.structs.replace(gguf(), context_length=256)
    made = OpenVinoOptions(slots=3, **options)
    assert OpenVino().context(spec, made) == context
    assert shape.blocks(spec, made) * made.block_tokens == 3 * cache


def test_without_a_known_length_the_context_is_the_default() -> None:
    assert OpenVino().context(gguf(), OpenVinoOptions()) == 4096


@pytest.mark.parametrize("wrong", [{"device": "NPU"}, {"device": "GPU.x"}, {"context": 8}])
def test_options_have_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, OpenVinoOptions)


@pytest.mark.parametrize("cache_type", ["u8", "f16"])
def test_the_caches_size_is_known_beforehand(tiny: Path, cache_type: str) -> None:
    options = OpenVinoOptions(slots=2, cache_type=cache_type)
    (spec,) = asyncio.run(GgufFolder(str(tiny.parent)).list_models())
    said = OpenVino().estimate(spec, options)
    with opened(tiny, slots=2, cache_type=cache_type) as driver:
        made_bytes = driver.engine._pipeline.get_metrics().cache_size_in_bytes
        assert said.kv_bytes == made_bytes
        assert 0 < driver.engine.held_bytes < said.total_bytes + 64 * MIB


class Host:
    """Calls in this process what a worker is asked for."""

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        module, name = function.split(":")
        called = getattr(importlib.import_module(module), name)
        said: JsonValue = called(spec, msgspec.to_builtins(options))
        return said


@pytest.mark.parametrize(("device", "level"), [("CPU", "ok"), ("GPU.99", "error")])
def test_the_doctor_says_whether_the_device_is_there(device: str, level: str) -> None:
    options = OpenVinoOptions(device=device)
    (finding,) = asyncio.run(OpenVino().diagnose(None, options, Host()))
    assert finding.level == level
    assert re.match(r"OpenVINO GenAI 20\d\d.* computes on .*CPU \(.+\)", finding.message)
    assert (finding.fix is None) is (level == "ok")


def test_a_device_that_is_not_there_is_a_failed_load(tiny: Path) -> None:
    with (
        pytest.raises(LoadFailedError, match=r"no device 'GPU\.99' here"),
        opened(tiny, device="GPU.99"),
    ):
        pass


def test_what_openvino_cannot_load_is_said(tmp_path: Path) -> None:
    path = random_gguf.write(tmp_path / "lacking.gguf", without="blk.1.ffn_up")
    with (
        pytest.raises(LoadFailedError, match=r"lacking\.gguf: OpenVINO could not load it: "),
        opened(path),
    ):
        pass


def test_a_file_that_has_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="there is no file"), opened(tmp_path / "a.gguf"):
        pass


def test_a_folder_is_loaded_and_has_the_size_of_its_gguf_file(tiny: Path, tmp_path: Path) -> None:
    openvino_folder.write(tiny, tmp_path / "tiny")
    (spec,) = asyncio.run(OpenVinoFolder(str(tmp_path)).list_models())
    assert spec.problem is None
    (as_gguf,) = asyncio.run(GgufFolder(str(tiny.parent)).list_models())
    options = OpenVinoOptions()
    assert OpenVino().can_load(spec)
    said, said_of_gguf = (OpenVino().estimate(each, options) for each in (spec, as_gguf))
    assert said.kv_bytes == said_of_gguf.kv_bytes
    with opened(Path(spec.path), format_="openvino") as driver:
        end = driver.read(ask("hello", max_tokens=12)).end
        assert isinstance(end, Done)
        assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (5, 12)


def test_the_server_imports_no_runtime() -> None:
    code = "import sys, modeld_openvino.plugin as p; print({'openvino', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_runtime_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    code = (
        "import modeld_openvino.runtime, openvino.tools.ovc.telemetry_utils as used;"
        "print(used.tm.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path)},
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
    assert list(tmp_path.iterdir()) == []
