# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import gguf
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.gguf import GgufError, GgufHeader, GgufUnreadableError, read_header
from modeld.gguf.cursor import WINDOW_BYTES, Cursor
from modeld.gguf.metadata import KEPT_BYTES_TOGETHER, read_metadata
from modeld.gguf.types import FILE_TYPES, TENSOR_TYPES
from tests.support.gguf.gguf_corpus import (
    F32_BYTES,
    Q4_0_BYTES,
    Broken,
    corpus,
    model_bytes,
    write_model,
)
from tests.support.nobody import as_nobody, public_folder

GOOD = model_bytes()
CORPUS = list(corpus())
LONGEST_S = 0.2
"""In time of the processor: how busy the machine is otherwise says nothing about the reader."""


@contextmanager
def a_file(content: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        path.write_bytes(content)
        yield path


def refusal(path: Path) -> str:
    """Return why the file is refused; refusing must be quick, whatever the file says."""
    begin = time.thread_time()
    with pytest.raises(GgufError) as refused:
        read_header(path)
    assert time.thread_time() - begin < LONGEST_S
    return refused.value.reason


def test_a_good_header_is_read(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "good.gguf"))
    assert header.version == 3
    assert header.family == "llama"
    assert header.quant == "Q4_0"
    assert header.name == "Tiny Llama"
    assert header.context_length == 2048
    assert header.tensor_count == 3
    assert header.weights_bytes == 2 * Q4_0_BYTES + F32_BYTES
    assert header.has_chat_template
    assert (header.shard, header.shards) == (1, 1)


def test_metadata_holds_every_kind_of_value_but_no_tokenizer(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "good.gguf"))
    assert header.metadata == {
        "general.architecture": "llama",
        "general.name": "Tiny Llama",
        "general.languages": ["en", "fr"],
        "general.file_type": 2,
        "llama.context_length": 2048,
        "llama.block_count": 1,
        "llama.rope.freq_base": 10000.0,
        "llama.attention.causal": True,
        "tokenizer.ggml.model": "gpt2",
    }


@pytest.mark.parametrize("value", [["model"], [1], "1", 1.5, True, -1], ids=repr)
@pytest.mark.parametrize(
    "key",
    [
        "general.architecture",
        "general.type",
        "general.name",
        "general.file_type",
        "general.alignment",
        "split.no",
        "split.count",
        "split.tensors.count",
        "tokenizer.ggml.model",
        "tokenizer.chat_template",
        "llama.context_length",
    ],
)
def test_a_key_that_is_looked_at_may_have_a_value_of_any_type(
    tmp_path: Path, key: str, value: object
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "llama")
    del writer.kv_data[0]["general.architecture"]
    for name, said in ({"general.architecture": "llama"} | {key: value}).items():
        writer.add_key_value(name, said, gguf.GGUFValueType.get_type(said))
    writer.add_tensor("token_embd.weight", np.zeros((32,), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with suppress(GgufError):  # whatever else it raised would hide all other models
        read_header(tmp_path / "odd.gguf")


def test_arrays_are_kept_up_to_4096_elements(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "arrays.gguf", "llama")
    writer.add_array("llama.kept", list(range(4096)))
    writer.add_array("llama.left_out", list(range(4097)))
    writer.add_array("llama.flags", [True, False])
    writer.add_array("llama.words", ["a"] * 4096)
    writer.add_array("llama.many_words", ["a"] * 4097)
    writer.add_array("llama.long_words", ["a" * 20_000] * 4)
    writer.add_string("llama.long", "a" * 65_537)
    write_tensors(writer)
    metadata = read_header(tmp_path / "arrays.gguf").metadata
    assert metadata["llama.kept"] == list(range(4096))
    assert metadata["llama.flags"] == [True, False]
    assert metadata["llama.words"] == ["a"] * 4096
    assert set(metadata) == {
        "general.architecture",
        "llama.kept",
        "llama.flags",
        "llama.words",
    }


def test_a_quarter_of_a_mebibyte_is_kept_and_no_more(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "much.gguf", "llama")
    for number in range(20):
        writer.add_array(f"llama.a{number:03}", [0] * 4096)
    writer.add_uint32("llama.block_count", 7)
    write_tensors(writer)
    metadata = read_header(tmp_path / "much.gguf").metadata
    assert metadata["llama.block_count"] == 7
    kept = [key for key in metadata if key.startswith("llama.a")]
    assert kept == [f"llama.a{number:03}" for number in range((256 << 10) // (4096 * 4 + 16))]


def test_strings_beyond_what_is_kept_are_not_read_one_by_one(tmp_path: Path) -> None:
    class Counting(Cursor):
        taken = 0

        def take(self, count: int) -> bytes:
            self.taken += 1
            return super().take(count)

    value = struct.pack("<IIQ", 9, 8, 4096) + bytes(8 * 4096)
    keys = b"".join(struct.pack("<Q6s", 6, b"a.%04d" % number) + value for number in range(100))
    path = tmp_path / "many.gguf"
    path.write_bytes(keys)
    with path.open("rb") as file:
        cursor = Counting(file.fileno(), len(keys))
        metadata = read_metadata(cursor, 100)
    assert len(metadata.values) == KEPT_BYTES_TOGETHER // len(value)
    assert cursor.taken <= 100 + KEPT_BYTES_TOGETHER / 8
    assert cursor.remaining == 0


def write_tensors(writer: gguf.GGUFWriter) -> None:
    import numpy as np

    writer.add_tensor("output_norm.weight", np.zeros(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_every_broken_file_is_refused_with_its_reason(tmp_path: Path, broken: Broken) -> None:
    path = tmp_path / "broken.gguf"
    broken.write(path)
    assert broken.reason in refusal(path)


def test_no_reason_names_a_path_or_breaks_its_line(tmp_path: Path) -> None:
    for broken in CORPUS:
        path = tmp_path / f"{broken.name}.gguf"
        broken.write(path)
        reason = refusal(path)
        assert str(tmp_path) not in reason
        assert reason.isprintable()
        assert len(reason) < 250


@settings(max_examples=200, deadline=None)
@given(end=st.integers(0, len(GOOD) - 1))
def test_a_file_cut_anywhere_is_refused(end: int) -> None:
    with a_file(GOOD[:end]) as path:
        assert refusal(path)


@settings(max_examples=500, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_changed_byte_never_does_more_than_refuse(at: int, value: int) -> None:
    changed = bytearray(GOOD)
    changed[at] = value
    with a_file(bytes(changed)) as path:
        begin = time.thread_time()
        with suppress(GgufError):
            read_header(path)
        assert time.thread_time() - begin < LONGEST_S


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=400))
def test_random_bytes_behind_a_sound_start_never_do_more_than_refuse(content: bytes) -> None:
    with (
        a_file(struct.pack("<4sIQQ", b"GGUF", 3, 1, 2) + content) as path,
        pytest.raises(GgufError),
    ):
        read_header(path)


def test_version_2_is_read(tmp_path: Path) -> None:
    with a_file(GOOD[:4] + struct.pack("<I", 2) + GOOD[8:]) as path:
        assert read_header(path).version == 2


def test_an_unknown_architecture_is_the_backends_business(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "new.gguf", architecture="brand-new_2.5"))
    assert header.family == "brand-new_2.5"
    assert header.context_length == 2048


def test_a_context_length_may_be_missing(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "short.gguf", context_length=None))
    assert header.context_length is None


def test_a_chat_template_may_be_missing(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "base.gguf", chat_template=None))
    assert not header.has_chat_template


@pytest.mark.parametrize("file_type", [None, 2 + 1024, 999])
def test_without_a_sure_file_type_the_largest_tensor_type_is_the_quant(
    tmp_path: Path, file_type: int | None
) -> None:
    many = tuple(f"blk.{number}.attn_q.weight" for number in range(9))
    header = read_header(write_model(tmp_path / "a.gguf", file_type=file_type, tensors=many))
    assert header.quant == "Q4_0"
    few = read_header(write_model(tmp_path / "b.gguf", file_type=file_type, tensors=("x.weight",)))
    assert few.quant == "F32"


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_other_alignments_are_fine(tmp_path: Path, alignment: int) -> None:
    header = read_header(write_model(tmp_path / "aligned.gguf", alignment=alignment))
    assert header.weights_bytes == 2 * Q4_0_BYTES + F32_BYTES


def test_a_later_shard_needs_no_architecture(tmp_path: Path) -> None:
    content = model_bytes(split=(1, 2, 6)).replace(b"general.architecture", b"general.architectura")
    with a_file(content) as path:
        header = read_header(path)
    assert (header.shard, header.shards, header.family) == (2, 2, "")


def test_a_first_shard_may_have_no_tensors(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "first.gguf", split=(0, 2, 3), tensors=()))
    assert (header.shard, header.shards, header.tensor_count) == (1, 2, 0)


def test_a_shard_beyond_their_number_is_refused(tmp_path: Path) -> None:
    assert "split.no is 2" in refusal(write_model(tmp_path / "x.gguf", split=(2, 2, 3)))


def test_a_shard_number_that_is_no_number_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_string("split.no", "first")
    write_tensors(writer)
    assert "not whole numbers" in refusal(tmp_path / "x.gguf")


def test_a_name_of_sixty_thousand_letters_is_cut(tmp_path: Path) -> None:
    assert len(read_header(write_model(tmp_path / "a.gguf", name="x" * 60_000)).name) == 200


def test_a_template_of_megabytes_costs_nothing(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "a.gguf", chat_template="{{" * 4_000_000))
    assert header.has_chat_template


def test_a_terabyte_behind_the_header_costs_nothing(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.gguf")
    os.truncate(path, 1 << 40)
    assert read_header(path).tensor_count == 3


def test_the_largest_vocabularies_are_passed_over_quickly(tmp_path: Path) -> None:
    path = write_model(tmp_path / "large.gguf", vocabulary=262_144)
    begin = time.thread_time()
    assert read_header(path).tensor_count == 3
    assert time.thread_time() - begin < 0.3


def test_a_file_that_still_grows_is_refused_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "download.gguf"
    for end in (100, len(GOOD) - 10):
        path.write_bytes(GOOD[:end])
        assert "cut" in refusal(path)
    path.write_bytes(GOOD)
    assert read_header(path).tensor_count == 3


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(GgufUnreadableError, match="not there"):
        read_header(tmp_path / "gone.gguf")


def test_a_forbidden_file_is_unreadable() -> None:
    with public_folder() as folder:
        path = write_model(folder / "secret.gguf")
        path.chmod(0)
        with as_nobody(), pytest.raises(GgufUnreadableError, match="permission denied"):
            read_header(path)


def test_a_fifo_that_takes_a_files_place_does_not_hold_up_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "swapped.gguf"
    os.mkfifo(path)
    regular = write_model(tmp_path / "regular.gguf").stat()
    monkeypatch.setattr(Path, "stat", lambda _: regular)
    reasons: list[str] = []
    reader = threading.Thread(target=lambda: reasons.append(refusal(path)), daemon=True)
    reader.start()
    reader.join(timeout=5)
    assert reasons == ["this is a FIFO, not a regular file"]


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shrunk.gguf"
    path.write_bytes(GOOD)
    with path.open("rb") as file:
        cursor = Cursor(file.fileno(), size_bytes=len(GOOD) + 100)
        with pytest.raises(GgufError, match=f"{len(GOOD) + 50} bytes, but there are {len(GOOD)}"):
            cursor.take(len(GOOD) + 50)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / "good.gguf")]
    for broken in CORPUS:
        path = tmp_path / f"{broken.name}.gguf"
        broken.write(path)
        paths.append(path)
    before = psutil.Process().num_fds()
    for path in paths:
        with suppress(GgufError):
            read_header(path)
    assert psutil.Process().num_fds() == before


def test_the_types_agree_with_the_gguf_package() -> None:
    known = {
        kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind])
        for kind in gguf.GGMLQuantizationType
        if kind.name != "Q8_1"  # the package counts its sums as 32-bit, ggml has 16-bit ones
    }
    ours = {number: tuple(kind) for number, kind in TENSOR_TYPES.items()}
    assert known.items() <= ours.items()
    files = {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in gguf.LlamaFileType
        if kind is not gguf.LlamaFileType.GUESSED
    }
    assert files.items() <= FILE_TYPES.items()


def test_a_chat_template_that_is_empty_is_none(tmp_path: Path) -> None:
    assert not read_header(write_model(tmp_path / "a.gguf", chat_template=None)).has_chat_template
    assert not read_header(write_model(tmp_path / "b.gguf", chat_template="")).has_chat_template


def vocabulary_header(path: Path, tokens: list[str], ids: dict[str, int]) -> GgufHeader:
    writer = gguf.GGUFWriter(path, "llama")
    for key, token in ids.items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", token)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    write_tensors(writer)
    return read_header(path)


WORDS = [f"token{number}" for number in range(20_000)]


@pytest.mark.parametrize(
    ("tokens", "ids", "has"),
    [
        ([], {}, False),
        (["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"], {}, True),
        (["<PRE>", "▁<SUF>", "<fim-middle>"], {}, True),
        (["<PRE>", "<SUF>", "<|middle|> "], {}, False),
        ([], {"fim_pre": 1, "fim_suf": 2, "fim_mid": 3}, True),
        ([], {"prefix": 1, "suffix": 2, "middle": 19_999}, True),
        ([], {"fim_pre": 1, "suffix": 2, "middle": 20_000}, False),
        ([], {"fim_pre": 1, "fim_suf": 2, "fim_mid": 2**32 - 1}, False),
        (["<MID>"], {"prefix": 1, "fim_suf": 2}, True),
    ],
)
def test_tokens_for_filling_in_are_found_by_their_ids_or_their_texts(
    tokens: list[str], ids: dict[str, int], has: bool, tmp_path: Path
) -> None:
    found = vocabulary_header(tmp_path / "m.gguf", [*WORDS, *tokens][-len(WORDS) :], ids)
    assert found.has_infill_tokens is has
    kept = {key for key in found.metadata if key.startswith("tokenizer.")}
    assert kept == {"tokenizer.ggml.model", *(f"tokenizer.ggml.{key}_token_id" for key in ids)}


def test_tokens_are_found_wherever_the_window_ends(tmp_path: Path) -> None:
    marks = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    for before in range(100):
        # So that the end of the first window wanders over all that they are written with.
        long = "x" * (WINDOW_BYTES - 150 - before)
        found = vocabulary_header(tmp_path / f"{before}.gguf", [long, *marks], {})
        assert found.has_infill_tokens, before
