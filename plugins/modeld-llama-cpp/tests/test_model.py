# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from modeld_llama_cpp import model as models
from modeld_llama_cpp.native_log import Line
from modeld_llama_cpp.options import LlamaOptions
from tiny_gguf import write_scripted

from modeld import ModeldError, ModelSpec
from modeld.errors import InvalidModelError


def load(path: Path, **options: object) -> models.Model:
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path))
    return models.load(spec, LlamaOptions(**({"threads": 1} | options)), lambda _: None)


def failure(path: Path, **options: object) -> ModeldError:
    with pytest.raises(ModeldError) as caught:
        load(path, **options)
    assert str(path.parent) not in caught.value.message
    assert caught.value.message.startswith("the-id.gguf: ")
    return caught.value


def test_a_loaded_model_knows_its_context_and_template(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", chat_template="{{ 1 }}", context_length=300)
    model = load(path)
    assert (model.context_length, model.cells) == (300, 512)
    assert model.chat_template == "{{ 1 }}"
    assert model.can_cut
    model.close()


def test_the_context_can_be_set(scripted: Path) -> None:
    model = load(scripted, context=1000)
    assert (model.context_length, model.cells) == (1000, 1024)
    assert model.chat_template is None
    model.close()


def test_what_is_held_is_measured(scripted: Path) -> None:
    small, large = load(scripted, context=256), load(scripted, context=512)
    weights = scripted.stat().st_size
    assert weights < small.held_bytes < weights + (4 << 20)
    kv_bytes = 256 * 1 * 2 * 288 * 2
    assert large.held_bytes - small.held_bytes == pytest.approx(kv_bytes, abs=300_000)
    small.close()
    large.close()


def test_buffer_sizes_are_read_from_the_log() -> None:
    lines = [
        Line(2, "load_tensors:   CPU_Mapped model buffer size =    92.10 MiB\n"),
        Line(2, "llama_kv_cache:        CPU KV buffer size =    90.00 MiB\n"),
        Line(2, "llama_kv_cache: size =   90.00 MiB (  4096 cells,  30 layers)\n"),
    ]
    assert models.measured_bytes(lines) == round(182.10 * (1 << 20))


def test_progress_goes_from_nothing_to_all(scripted: Path) -> None:
    fractions: list[float] = []
    spec = ModelSpec(id="m", name="m", path=str(scripted))
    models.load(spec, LlamaOptions(threads=1), fractions.append).close()
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0


def test_a_load_whose_progress_nobody_takes_ends(scripted: Path) -> None:
    def broken(fraction: float) -> None:
        raise ConnectionResetError("gone")

    spec = ModelSpec(id="m", name="m", path=str(scripted))
    with pytest.raises(ConnectionResetError, match="gone"):
        models.load(spec, LlamaOptions(threads=1), broken)


@pytest.mark.parametrize(("mmap", "mlock"), [(True, False), (False, False)])
def test_the_file_can_be_mapped_or_read(scripted: Path, mmap: bool, mlock: bool) -> None:
    load(scripted, mmap=mmap, mlock=mlock).close()


def test_an_unknown_architecture_is_named(scripted: Path, tmp_path: Path) -> None:
    data = scripted.read_bytes().replace(
        b"\x05" + bytes(7) + b"llama", b"\x05" + bytes(7) + b"xxxxx"
    )
    path = tmp_path / "unknown.gguf"
    path.write_bytes(data)
    error = failure(path)
    assert isinstance(error, InvalidModelError)
    assert "unknown model architecture: 'xxxxx'" in error.message


def test_a_missing_tensor_is_named(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "missing.gguf"
    path.write_bytes(scripted.read_bytes().replace(b"blk.0.attn_k.weight", b"blk.0.attn_x.weight"))
    error = failure(path)
    assert isinstance(error, InvalidModelError)
    assert "'blk.0.attn_k.weight' not found" in error.message


def test_a_file_that_is_cut_off_is_named(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    data = scripted.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    error = failure(path)
    assert isinstance(error, InvalidModelError)
    assert "is not within the file bounds" in error.message


@pytest.mark.parametrize(
    ("content", "cause"), [(b"", "failed to read magic"), (b"GGUX" * 9, "invalid magic")]
)
def test_what_is_no_gguf_file_is_named(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(content)
    error = failure(path)
    assert isinstance(error, InvalidModelError)
    assert cause in error.message


def test_a_file_that_is_gone_is_named_by_its_id(tmp_path: Path) -> None:
    error = failure(tmp_path / "gone.gguf")
    assert "failed to open GGUF file 'the-id.gguf' (No such file or directory)" in error.message


def test_a_context_without_memory_for_it_is_a_failed_load(scripted: Path) -> None:
    code = (
        "import resource, sys\n"
        "from modeld_llama_cpp.engine import LlamaEngine\n"
        "from modeld import ModelSpec\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "spec = ModelSpec(id='the-id.gguf', name='m', path=sys.argv[1])\n"
        "try: LlamaEngine.open(spec, {'context': 1 << 24, 'slots': 1}, lambda _: None)\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    run = [sys.executable, "-c", code, str(scripted)]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert said.startswith(
        "LoadFailedError the-id.gguf: no context of 16777216 tokens for 1 slots: "
    )
    assert "failed to allocate buffer" in said
