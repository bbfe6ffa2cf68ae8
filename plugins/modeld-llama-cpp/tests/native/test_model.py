# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
from bert_gguf import random_bert
from computing import vector
from modeld_llama_cpp.native import contexts, weights
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions
from tiny_gguf import write_scripted
from tiny_recurrent import write_mamba

from modeld import ModeldError, ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError


def load(path: Path, **options: object) -> models.Model:
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path))
    return models.load(spec, LlamaOptions(**({"threads": 1} | options)), lambda _: None)


def load_for_embeddings(path: Path, **options: object) -> models.Model:
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path), family="bert")
    options_ = LlamaOptions(**({"threads": 1} | options))
    return models.load_for_embeddings(spec, options_, lambda _: None)


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
    assert (model.pooling, model.batch) == (None, 300)
    model.close()


@pytest.mark.parametrize("trained", [4096, 4097, 2**31, 4_000_000_000, 2**32 - 1])
def test_a_header_that_boasts_makes_no_larger_context(tmp_path: Path, trained: int) -> None:
    path = write_scripted(tmp_path / "m.gguf", context_length=trained)
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path))
    loaded = weights.load(spec, LlamaOptions(), lambda _: None, [])
    assert contexts.trained_length(loaded) == trained
    assert contexts.size_for_text(loaded, LlamaOptions()).context == 4096
    llama_cpp.llama_model_free(loaded)


def test_a_recurrent_memory_can_neither_be_cut_nor_shared(tmp_path: Path) -> None:
    model = load(write_mamba(tmp_path / "mamba.gguf"))
    assert not model.can_cut
    assert model.sequences == 4
    model.close()


def write_split(whole: Path, folder: Path, *suffixes: str) -> Path:
    """The same model in as many files as there are ``suffixes``; the path of the first."""
    reader, count = gguf.GGUFReader(whole), len(suffixes)
    for number, suffix in enumerate(suffixes):
        path = folder / f"m-{number + 1:05}-of-{count:05}{suffix}"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for key, field in reader.fields.items() if number == 0 else ():
            if not key.startswith("GGUF.") and key != "general.architecture":
                writer.add_key_value(key, field.contents(), field.types[0], field.types[-1])
        for tensor in reader.tensors[number::count]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return folder / f"m-00001-of-{count:05}{suffixes[0]}"


@pytest.mark.parametrize(
    "suffixes", [(".gguf", ".gguf"), (".GGUF", ".GGUF", ".GGUF"), (".GGUF", ".gguf")]
)
def test_a_split_model_is_loaded_however_its_suffixes_are_written(
    tmp_path: Path, suffixes: tuple[str, ...]
) -> None:
    whole = write_scripted(tmp_path / "whole.gguf", context_length=300)
    first = write_split(whole, tmp_path, *suffixes)
    spec = ModelSpec(
        id="the-id.gguf", name="m", path=str(first), metadata={"split.count": len(suffixes)}
    )
    model = models.load(spec, LlamaOptions(threads=1), lambda _: None)
    assert model.context_length == 300
    model.close()


@pytest.mark.parametrize("slots", [1, 4, 256])
def test_there_is_a_sequence_for_every_slot(scripted: Path, slots: int) -> None:
    model = load(scripted, slots=slots)
    assert model.sequences == slots
    assert llama_cpp.llama_n_seq_max(model.context) == slots
    model.close()


@pytest.mark.parametrize("options", [{"slots": 9, "batch": 3, "ubatch": 2}, {"draft_tokens": 64}])
def test_any_number_of_outputs_makes_a_context(scripted: Path, options: dict[str, object]) -> None:
    load(scripted, **options).close()


def test_a_template_of_the_options_takes_the_models_place(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", chat_template="{{ 1 }}")
    file = tmp_path / "own.jinja"
    file.write_text("{{ 'ä' }}", encoding="utf-8")
    for options, template in (
        ({"chat_template": "{{ 2 }}"}, "{{ 2 }}"),
        ({"chat_template": "chatml"}, "chatml"),
        ({"chat_template_file": str(file)}, "{{ 'ä' }}"),
    ):
        model = load(path, **options)
        assert model.chat_template == template
        model.close()


def test_a_template_file_that_cannot_be_read_is_named(scripted: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("{{ 1 }}", encoding="utf-8")
    options = LlamaOptions(chat_template_file=str(file))
    file.write_bytes(b"\xff")
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(scripted))
    for why in ("it is not UTF-8 text", "No such file or directory"):
        with pytest.raises(LoadFailedError) as caught:
            models.load(spec, options, lambda _: None)
        assert caught.value.message == (
            f"the-id.gguf: the chat_template_file 'own.jinja' cannot be read: {why}"
        )
        file.unlink(missing_ok=True)


def test_the_context_can_be_set(scripted: Path) -> None:
    model = load(scripted, context=1000)
    assert (model.context_length, model.cells) == (1000, 1024)
    assert model.chat_template is None
    model.close()


def test_what_is_held_is_measured(scripted: Path) -> None:
    small = load(scripted, context=256, batch=64)
    large = load(scripted, context=512, batch=64)
    weights = scripted.stat().st_size
    assert weights < small.held_bytes < weights + (4 << 20)
    kv_bytes = 256 * 1 * 2 * 288 * 2
    assert large.held_bytes - small.held_bytes == pytest.approx(kv_bytes, abs=300_000)
    small.close()
    large.close()


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
        "from modeld_llama_cpp.engine.engine import LlamaEngine\n"
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


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    return random_bert(1, gguf.PoolingType.CLS).write(folder / "bert.gguf")


def test_an_encoder_makes_vectors_as_its_header_says(encoder: Path) -> None:
    model = load_for_embeddings(encoder)
    assert (model.pooling, model.context_length, model.batch) == ("cls", 64, 64)
    assert vector(model).shape == (32,)
    model.close()


def test_the_options_say_how_vectors_are_pooled(encoder: Path) -> None:
    models_ = [load_for_embeddings(encoder, pooling=way) for way in ("cls", "mean", "last")]
    assert [model.pooling for model in models_] == ["cls", "mean", "last"]
    first, *others = [vector(model) for model in models_]
    assert not any(np.allclose(first, other, atol=0.01) for other in others)
    for model in models_:
        model.close()


def test_an_encoder_does_not_write_text(encoder: Path) -> None:
    error = failure(encoder)
    assert isinstance(error, InvalidModelError)
    assert "make vectors and do not write text" in error.message


def test_a_model_that_writes_text_can_make_vectors(random: Path) -> None:
    model = load_for_embeddings(random)
    assert (model.pooling, model.batch) == ("last", 2048)
    assert llama_cpp.llama_n_ubatch(model.context) == 128
    assert vector(model).shape == (64,)
    model.close()


def test_vectors_of_many_texts_come_out_of_one_batch(encoder: Path) -> None:
    model = load_for_embeddings(encoder, slots=40)
    assert model.sequences == 40
    model.close()


@pytest.mark.parametrize("kind", ["llama_model_has_encoder", "llama_model_is_diffusion"])
@pytest.mark.parametrize("load_", [load, load_for_embeddings])
def test_what_neither_writes_token_by_token_nor_makes_vectors_is_refused(
    random: Path,
    kind: str,
    load_: Callable[[Path], models.Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(llama_cpp, kind, lambda _: True)
    with pytest.raises(InvalidModelError, match=r"the-id\.gguf: models of the family .* do not "):
        load_(random)
