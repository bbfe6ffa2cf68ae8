# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modeld import ModelSpec, Settings
from modeld.builtin.gguf import headers as gguf_headers
from modeld.builtin.gguf.files import MAX_DEPTH, MAX_ENTRIES, find_files
from modeld.builtin.gguf.folder import GgufFolder, modeld_register_sources
from modeld.builtin.gguf.groups import group_at, group_files
from modeld.builtin.gguf.problems import ModelsFolderError
from modeld.gguf import GgufHeader, GgufUnreadableError, read_header
from modeld.settings.folders import joined
from tests.support.gguf.gguf_corpus import F32_BYTES, Q4_0_BYTES, corpus, model_bytes, write_model
from tests.support.nobody import as_nobody, public_folder

GOOD = model_bytes()


def scan(folder: GgufFolder) -> dict[str, ModelSpec]:
    specs = asyncio.run(folder.list_models())
    assert len({spec.id for spec in specs}) == len(specs)
    return {spec.id: spec for spec in specs}


def models_in(path: Path) -> dict[str, ModelSpec]:
    return scan(GgufFolder(str(path)))


def problem_of(path: Path, model: str) -> str:
    problem = models_in(path)[model].problem
    assert problem is not None
    return problem


def test_a_model_is_listed_with_all_that_its_header_says(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny-Q4_0.gguf")
    [spec] = models_in(tmp_path).values()
    status = path.stat()
    assert spec.id == "tiny-Q4_0.gguf"
    assert spec.name == "Tiny Llama"
    assert spec.path == str(path)
    assert spec.format == "gguf"
    assert spec.family == "llama"
    assert spec.quant == "Q4_0"
    assert spec.size_bytes == status.st_size
    assert spec.weights_bytes == 2 * Q4_0_BYTES + F32_BYTES
    assert spec.context_length == 2048
    assert spec.metadata["llama.block_count"] == 1
    assert spec.source == "gguf-folder"
    assert spec.stamp is not None
    assert spec.stamp.inode == status.st_ino
    assert spec.stamp.mtime_ns == status.st_mtime_ns
    assert spec.problem is None


def test_the_hook_brings_the_folder_of_the_settings(tmp_path: Path) -> None:
    write_model(tmp_path / "a.gguf")
    [source] = modeld_register_sources(Settings(models_dir=str(tmp_path)))
    assert source.name == "gguf-folder"
    assert [spec.id for spec in asyncio.run(source.list_models())] == ["a.gguf"]


def test_each_folder_of_the_settings_is_a_source_of_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "one, two", tmp_path / "gone"
    first.mkdir()
    write_model(first / "a.gguf")
    settings = Settings(models_dir=joined([str(first), str(second), str(first)]))
    one, other = modeld_register_sources(settings)
    assert (one.name, other.name) == ("gguf-folder", "gguf-folder-2")
    assert [spec.source for spec in asyncio.run(one.list_models())] == ["gguf-folder"]
    with pytest.raises(ModelsFolderError, match="gone cannot be read"):
        asyncio.run(other.list_models())


def test_the_folders_that_were_searched_are_watched(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "linked").symlink_to("/usr/share", target_is_directory=True)
    folder = GgufFolder(str(tmp_path), follow_links=False)
    assert folder.watched_paths() == [str(tmp_path)]
    scan(folder)
    assert list(folder.watched_paths()) == [str(tmp_path), str(tmp_path / "sub")]


def test_a_projector_is_named_with_its_model(tmp_path: Path) -> None:
    for name in ("a-Q4_0.gguf", "mmproj-a-f16.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(GOOD)
    found = models_in(tmp_path)
    assert found["a-Q4_0.gguf"].projector == str(tmp_path / "mmproj-a-f16.gguf")
    assert found["b.gguf"].projector is None


def test_a_file_that_was_cut_just_now_may_still_be_written(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(GOOD[:500])
    folder = GgufFolder(str(tmp_path))
    said = scan(folder)["a.gguf"].problem or ""
    assert said.startswith("it is still being written, it seems: the file is cut")
    os.utime(file, ns=(0, 0))
    assert (scan(folder)["a.gguf"].problem or "").startswith("the file is cut")
    file.write_bytes(b"no model" * 100)
    assert "it is no GGUF file" in (scan(folder)["a.gguf"].problem or "")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models" / "a.gguf")
    assert list(models_in(Path("~/models"))) == ["a.gguf"]


def test_the_suffix_may_be_in_capitals_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.GGUF", "b.gguf", "mmproj-b.gguf", "MMProj.gguf", ".hidden.gguf"):
        (tmp_path / name).write_bytes(GOOD)
    for name in ("README.md", "model.gguf.part", "gguf"):
        (tmp_path / name).write_text("nothing")
    (tmp_path / ".cache").mkdir()
    write_model(tmp_path / ".cache" / "c.gguf")
    assert list(models_in(tmp_path)) == ["a.GGUF", "b.gguf"]


def test_a_model_without_a_name_is_called_after_its_file(tmp_path: Path) -> None:
    write_model(tmp_path / "Some.Model-Q4.gguf", name=" ")
    assert models_in(tmp_path)["Some.Model-Q4.gguf"].name == "Some.Model-Q4"


def test_the_second_file_of_one_name_goes_by_its_path(tmp_path: Path) -> None:
    for folder in ("chat", "code/small", "code"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write_model(tmp_path / folder / "llama.gguf")
    write_model(tmp_path / "code--small--llama.gguf")
    found = models_in(tmp_path)
    assert {model: spec.path for model, spec in found.items()} == {
        "llama.gguf": str(tmp_path / "chat/llama.gguf"),
        "code--llama.gguf": str(tmp_path / "code/llama.gguf"),
        "code--small--llama.gguf": str(tmp_path / "code--small--llama.gguf"),
        "again--code--small--llama.gguf": str(tmp_path / "code/small/llama.gguf"),
    }


def test_every_broken_file_is_listed_with_its_reason(tmp_path: Path) -> None:
    reasons = {}
    for broken in corpus():
        broken.write(tmp_path / f"{broken.name}.gguf")
        reasons[f"{broken.name}.gguf"] = broken.reason
    write_model(tmp_path / "good.gguf")
    reasons |= {
        "device.gguf": "a device, not a regular file",
        "link-to-nothing.gguf": "link cannot be followed: no such file or directory",
        "link-to-itself.gguf": "link cannot be followed",
    }
    found = models_in(tmp_path)
    assert found.pop("good.gguf").problem is None
    assert found.keys() == reasons.keys()
    for model, spec in found.items():
        assert spec.problem is not None
        assert reasons[model] in spec.problem
        assert (spec.family, spec.quant, spec.weights_bytes) == ("", "", 0)
        assert spec.name == model.removesuffix(".gguf")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": "model"}, None),
        ({"architecture": "bert"}, None),
        ({"kind": "adapter"}, "this is an adapter (LoRA), which changes another model"),
        (
            {"tensors": ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b")},
            "this is an adapter (LoRA), which changes another model",
        ),
        (
            {"kind": "mmproj"},
            "this is a projector, which shows pictures or sound to another model",
        ),
        (
            {"architecture": "clip", "tensors": ("v.patch_embd.weight", "mm.0.weight")},
            "this is a projector, which shows pictures or sound to another model",
        ),
        (
            {"kind": "imatrix", "tensors": ("blk.0.attn_q.weight.in_sum2",)},
            "this is an importance matrix, made to quantise another model",
        ),
        (
            {"architecture": "controlvector", "tensors": ("direction.1",)},
            "this is a control vector, which changes another model",
        ),
        ({"kind": "dataset"}, "this is no model: general.type is 'dataset'"),
        (
            {"architecture": "flux", "tokenizer": None, "tensors": ("img_in.weight",)},
            "this is a model that makes pictures or films, not text",
        ),
        ({"architecture": "whisper"}, "this is a model that reads speech, not text"),
        (
            {"architecture": "pig", "tokenizer": None, "tensors": ("conv.weight",)},
            "this is no language model: the file has no vocabulary and no token embeddings (architecture pig)",  # noqa: E501
        ),
        (
            {"architecture": "wavtokenizer-dec", "tokenizer": "none"},
            "this is no language model: the file has no vocabulary (architecture wavtokenizer-dec)",
        ),
        (
            {"tensors": ("output.weight",)},
            "this is no language model: the file has no token embeddings (architecture llama)",
        ),
    ],
)
def test_what_is_no_language_model_is_listed_as_what_it_is(
    tmp_path: Path, changes: dict[str, Any], problem: str | None
) -> None:
    write_model(tmp_path / "some.gguf", **changes)
    assert models_in(tmp_path)["some.gguf"].problem == problem


def test_an_importance_matrix_has_no_architecture(tmp_path: Path) -> None:
    content = model_bytes(kind="imatrix").replace(b"general.architecture", b"general.architectura")
    (tmp_path / "imatrix.gguf").write_bytes(content)
    assert "an importance matrix" in problem_of(tmp_path, "imatrix.gguf")


def write_split(
    folder: Path, *numbers: int, shards: int = 3, tensors: int = 9, suffix: str = ".gguf"
) -> None:
    for number in numbers:
        names = tuple(f"blk.{number}.{name}" for name in ("q", "k", "v"))
        if number == 2:
            names = ("token_embd.weight", *names[1:])
        write_model(
            folder / f"big-{number:05}-of-{shards:05}{suffix}",
            split=(number - 1, shards, tensors),
            tensors=names,
        )


def test_a_split_model_is_one_model(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3)
    found = models_in(tmp_path)
    spec = found["big-00001-of-00003.gguf"]
    assert len(found) == 1
    assert spec.problem is None
    assert spec.path == str(tmp_path / "big-00001-of-00003.gguf")
    assert spec.size_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert spec.weights_bytes == 3 * (2 * Q4_0_BYTES + F32_BYTES)
    assert spec.quant == "Q4_0"


def test_a_split_model_may_end_in_capitals(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3, suffix=".GGUF")
    [spec] = models_in(tmp_path).values()
    assert (spec.id, spec.problem) == ("big-00001-of-00003.GGUF", None)
    (tmp_path / "big-00003-of-00003.GGUF").rename(tmp_path / "big-00003-of-00003.gguf")
    assert models_in(tmp_path)["big-00001-of-00003.GGUF"].problem is None
    (tmp_path / "big-00001-of-00003.GGUF").unlink()
    [spec] = models_in(tmp_path).values()
    assert (spec.id, spec.problem) == ("big-00001-of-00003.GGUF", "of 3 files these are missing: 1")


def test_the_same_split_model_with_both_suffixes_is_two_models(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3, suffix=".GGUF")
    write_split(tmp_path, 1, 2, 3)
    assert {model: spec.problem for model, spec in models_in(tmp_path).items()} == {
        "big-00001-of-00003.GGUF": None,
        "big-00001-of-00003.gguf": None,
    }


def test_a_split_model_without_tensors_in_its_first_file_is_fine(tmp_path: Path) -> None:
    write_model(tmp_path / "m-00001-of-00002.gguf", split=(0, 2, 3), tensors=(), file_type=None)
    write_model(tmp_path / "m-00002-of-00002.gguf", split=(1, 2, 3), file_type=None)
    spec = models_in(tmp_path)["m-00001-of-00002.gguf"]
    assert spec.problem is None
    assert spec.quant == "Q4_0"


@pytest.mark.parametrize(
    ("there", "missing"), [((1, 3), "missing: 2"), ((2, 3), "missing: 1"), ((2,), "missing: 1, 3")]
)
def test_a_split_model_with_missing_files_says_which(
    tmp_path: Path, there: tuple[int, ...], missing: str
) -> None:
    write_split(tmp_path, *there)
    [spec] = models_in(tmp_path).values()
    assert spec.id == "big-00001-of-00003.gguf"
    assert spec.path == str(tmp_path / spec.id)
    assert spec.problem == f"of 3 files these are {missing}"
    assert (spec.stamp is None) == (1 not in there)


def test_a_split_model_with_very_many_missing_files_names_some(tmp_path: Path) -> None:
    write_split(tmp_path, 1, shards=1000)
    assert problem_of(tmp_path, "big-00001-of-01000.gguf").endswith("2, 3, 4, 5, 6 and 994 more")


@pytest.mark.parametrize("shards", [1001, 99_999])
def test_a_name_that_promises_too_many_files_is_refused_and_costs_little(
    tmp_path: Path, shards: int
) -> None:
    file = tmp_path / f"big-00001-of-{shards:05}.gguf"
    file.write_bytes(b"")
    [in_folder] = group_files(find_files(tmp_path).files)
    by_name = group_at(file)
    assert in_folder.missing == by_name.missing == (2, 3, 4, 5, 6)
    assert in_folder.missing_count == by_name.missing_count == shards - 1
    assert problem_of(tmp_path, file.name) == (
        f"its name says that it is one of {shards} files, and 1000 are the most;"
        " rename it if it is whole"
    )


def test_a_shard_that_is_replaced_makes_another_version(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3)
    [before] = models_in(tmp_path).values()
    third = tmp_path / "big-00003-of-00003.gguf"
    os.utime(third, ns=(1, 1))
    [after] = models_in(tmp_path).values()
    assert (after.problem, after.stamp) == (None, before.stamp)
    assert [stamp.mtime_ns for stamp in after.shard_stamps][1:] == [1]
    assert after.version != before.version


def test_a_split_model_with_a_broken_file_says_which(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3)
    (tmp_path / "big-00002-of-00003.gguf").write_bytes(b"")
    os.utime(tmp_path / "big-00002-of-00003.gguf", ns=(0, 0))
    assert (
        problem_of(tmp_path, "big-00001-of-00003.gguf")
        == "file 2 of 3: the file is empty (0 bytes)"
    )


def test_shards_with_exchanged_names_are_a_problem(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3)
    second, third = tmp_path / "big-00002-of-00003.gguf", tmp_path / "big-00003-of-00003.gguf"
    content = second.read_bytes()
    third.replace(second)
    third.write_bytes(content)
    assert problem_of(tmp_path, "big-00001-of-00003.gguf") == (
        "the file says that it is number 3 of 3, but its name says 2 of 3"
    )


def test_shards_of_different_models_are_a_problem(tmp_path: Path) -> None:
    write_split(tmp_path, 1, 2, 3, tensors=12)
    assert problem_of(tmp_path, "big-00001-of-00003.gguf") == (
        "the files have 9 tensors together; the first says 12"
    )


def test_a_renamed_shard_is_a_problem(tmp_path: Path) -> None:
    write_model(tmp_path / "renamed.gguf", split=(0, 2, 3))
    assert "says that it is number 1 of 2" in problem_of(tmp_path, "renamed.gguf")


def test_a_number_beyond_the_count_makes_no_split_model(tmp_path: Path) -> None:
    for name in ("a-00004-of-00003.gguf", "a-00000-of-00003.gguf"):
        (tmp_path / name).write_bytes(GOOD)
    assert [spec.problem for spec in models_in(tmp_path).values()] == [None, None]


def test_a_link_inside_of_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_bytes(GOOD)
    (tmp_path / "model.gguf").symlink_to("blobs/abc")
    spec = models_in(tmp_path)["model.gguf"]
    assert spec.problem is None
    assert spec.path == str(tmp_path / "model.gguf")
    assert spec.stamp is not None
    assert spec.stamp.inode == (tmp_path / "blobs" / "abc").stat().st_ino


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write_model(tmp_path / "real" / "a.gguf")
    (tmp_path / "real" / "link.gguf").symlink_to("a.gguf")
    (tmp_path / "models").symlink_to("real")
    found = models_in(tmp_path / "models")
    assert [spec.problem for spec in found.values()] == [None, None]
    assert found["a.gguf"].path == str(tmp_path / "models" / "a.gguf")


@pytest.mark.parametrize("target", ["outside.gguf", "/etc/passwd", "/dev/zero", "../outside.gguf"])
def test_a_link_that_leaves_the_folder_is_never_opened_if_links_are_not_followed(
    tmp_path: Path, target: str
) -> None:
    write_model(tmp_path / "outside.gguf")
    models = tmp_path / "models"
    models.mkdir()
    (models / "link.gguf").symlink_to(tmp_path / target if target == "outside.gguf" else target)
    spec = scan(GgufFolder(str(models), follow_links=False))["link.gguf"]
    assert spec.problem == "link leads outside of the models folder, and follow_links is off"
    assert spec.size_bytes == 0
    assert spec.stamp is None


def test_a_link_is_followed_out_of_the_folder_and_gives_the_model_its_name(tmp_path: Path) -> None:
    models, disk = tmp_path / "models", tmp_path / "disk"
    models.mkdir()
    disk.mkdir()
    target = write_model(disk / "weights.bin", name="")
    (models / "link.gguf").symlink_to(target)
    (models / "passwd.gguf").symlink_to("/etc/passwd")
    (models / "zero.gguf").symlink_to("/dev/zero")
    os.mkfifo(disk / "fifo")
    (models / "fifo.gguf").symlink_to(disk / "fifo")
    found = models_in(models)
    spec = found["link.gguf"]
    assert (spec.problem, spec.name, spec.path) == (None, "link", str(models / "link.gguf"))
    assert spec.stamp is not None
    assert spec.stamp.inode == target.stat().st_ino
    assert "it is no GGUF file" in (found["passwd.gguf"].problem or "")
    assert found["zero.gguf"].problem == "this is a device, not a regular file"
    assert found["fifo.gguf"].problem == "this is a FIFO, not a regular file"


def test_the_cache_of_hugging_face_is_a_models_folder(tmp_path: Path) -> None:
    """Its snapshots are links to blobs, which are named by their hashes."""
    repository = tmp_path / "hub" / "models--someone--tiny-GGUF"
    blob = repository / "blobs" / ("ab" * 32)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(GOOD)
    for revision in ("1f" * 20, "2e" * 20):
        (repository / "snapshots" / revision).mkdir(parents=True)
        (repository / "snapshots" / revision / "tiny.gguf").symlink_to(f"../../blobs/{blob.name}")

    long_id = f"models--someone--tiny-GGUF--snapshots--{'2e' * 20}--tiny.gguf"
    found = models_in(tmp_path / "hub")
    assert [(model, spec.problem) for model, spec in found.items()] == [
        (long_id, None),
        ("tiny.gguf", None),
    ]
    [spec] = models_in(repository / "snapshots" / ("1f" * 20)).values()
    assert (spec.id, spec.problem) == ("tiny.gguf", None)


def test_a_linked_folder_is_searched_after_all_real_ones(tmp_path: Path) -> None:
    models, disk = tmp_path / "models", tmp_path / "disk" / "more"
    (models / "own").mkdir(parents=True)
    disk.mkdir(parents=True)
    for folder in (models / "own", disk):
        write_model(folder / "a.gguf")
    write_model(disk / "b.gguf")
    (models / "linked").symlink_to(disk)
    assert {model: spec.path for model, spec in models_in(models).items()} == {
        "a.gguf": str(models / "own" / "a.gguf"),
        "b.gguf": str(models / "linked" / "b.gguf"),
        "linked--a.gguf": str(models / "linked" / "a.gguf"),
    }


def test_circles_of_links_end_and_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sub").mkdir()
    write_model(tmp_path / "sub" / "a.gguf")
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "again").symlink_to("sub")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "one.gguf").symlink_to("two.gguf")
    (tmp_path / "two.gguf").symlink_to("one.gguf")
    folder = GgufFolder(str(tmp_path))
    found = scan(folder)
    assert list(found) == ["a.gguf", "one.gguf", "two.gguf"]
    assert "link cannot be followed" in (found["one.gguf"].problem or "")
    searched = "it leads to a folder that is searched already"
    told = [record.message for record in caplog.records]
    assert sorted(told) == [
        f"not searched: '{tmp_path}/again': {searched}",
        f"not searched: '{tmp_path}/gone': No such file or directory",
        f"not searched: '{tmp_path}/round': Too many levels of symbolic links",
        f"not searched: '{tmp_path}/sub/up': {searched}",
    ]
    assert scan(folder) == found
    assert len(caplog.records) == len(told), "what is left out again is not told again"


def test_links_that_are_not_followed_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "disk").mkdir()
    write_model(tmp_path / "disk" / "a.gguf")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked").symlink_to(tmp_path / "disk")
    [source] = modeld_register_sources(
        Settings(models_dir=str(tmp_path / "models"), follow_links=False)
    )
    assert asyncio.run(source.list_models()) == []
    assert caplog.messages == [
        f"not searched: '{tmp_path}/models/linked': it is a link, and follow_links is off"
    ]


def test_a_folder_with_the_suffix_is_named_and_searched(tmp_path: Path) -> None:
    (tmp_path / "Model.gguf").mkdir()
    write_model(tmp_path / "Model.gguf" / "inner.gguf")
    found = models_in(tmp_path)
    assert found["Model.gguf"].problem == "this is a directory, not a regular file"
    assert found["inner.gguf"].problem is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (b"bad-\xff.gguf", r"bad-\xff.gguf"),
        (b"line\nend.gguf", r"line\nend.gguf"),
        (b"bell\x1b[2J.gguf", r"bell\x1b[2J.gguf"),
        ("left\u202e.gguf".encode(), r"left\u202e.gguf"),
        ("line\u2028.gguf".encode(), r"line\u2028.gguf"),
        ("zero\u200dwidth.gguf".encode(), r"zero\u200dwidth.gguf"),
        ("gra\u034fpheme.gguf".encode(), r"gra\u034fpheme.gguf"),
        ("filler\u3164.gguf".encode(), r"filler\u3164.gguf"),
        ("variant\ufe0f.gguf".encode(), r"variant\ufe0f.gguf"),
        ("tag\U000e0041.gguf".encode(), r"tag\U000e0041.gguf"),
        ("new\u2065.gguf".encode(), r"new\u2065.gguf"),
    ],
)
def test_names_that_cannot_be_shown_are_escaped_and_never_opened(
    tmp_path: Path, name: bytes, model: str
) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(GOOD)
    spec = models_in(tmp_path)[model]
    assert spec.problem is not None
    assert "not UTF-8 or has control characters" in spec.problem
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ModelSpec) == spec


def test_a_folder_whose_name_cannot_be_shown_is_a_problem_of_its_models(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "a.gguf").write_bytes(GOOD)
    spec = models_in(tmp_path)["a.gguf"]
    assert spec.problem is not None
    assert spec.path.endswith(r"/\xff/a.gguf")


@pytest.mark.parametrize(
    "name", ["modèle.gguf", "模型.gguf", "a b.gguf", "🦙.gguf", "a\u00a0b.gguf"]
)
def test_names_in_other_scripts_are_fine(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(GOOD)
    assert models_in(tmp_path)[name].problem is None


def test_a_missing_folder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelsFolderError, match="no such file or directory; make the folder"):
        models_in(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelsFolderError, match="not a directory") as refused:
        models_in(tmp_path / "file")
    assert refused.value.field == "models_dir"
    assert refused.value.retryable
    with pytest.raises(ModelsFolderError, match="home"):
        models_in(Path("~nobody-of-this-name/models"))


def test_a_folder_that_comes_back_is_read_again(tmp_path: Path) -> None:
    folder = GgufFolder(str(tmp_path / "models"))
    with pytest.raises(ModelsFolderError):
        scan(folder)
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models" / "a.gguf")
    assert list(scan(folder)) == ["a.gguf"]


def test_a_scan_follows_what_happens_in_the_folder(tmp_path: Path) -> None:
    folder = GgufFolder(str(tmp_path))
    assert scan(folder) == {}
    (tmp_path / "a.gguf").write_bytes(GOOD[:-10])
    assert "cut in the data" in (scan(folder)["a.gguf"].problem or "")
    (tmp_path / "a.gguf").write_bytes(GOOD)
    assert scan(folder)["a.gguf"].problem is None
    (tmp_path / "a.gguf").rename(tmp_path / "b.gguf")
    assert list(scan(folder)) == ["b.gguf"]
    (tmp_path / "b.gguf").unlink()
    assert scan(folder) == {}


def test_an_unchanged_file_is_read_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: str, *, is_regular: bool) -> GgufHeader:
        read.append(Path(path).name)
        return read_header(path, is_regular=is_regular)

    monkeypatch.setattr(gguf_headers, "read_header", counted)
    write_model(tmp_path / "a.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"")
    folder = GgufFolder(str(tmp_path))
    first = scan(folder)
    assert scan(folder) == first
    assert sorted(read) == ["a.gguf", "broken.gguf"]
    os.utime(tmp_path / "a.gguf", ns=(0, 0))
    scan(folder)
    assert sorted(read) == ["a.gguf", "a.gguf", "broken.gguf"]


def test_what_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str, *, is_regular: bool) -> GgufHeader:
        raise GgufUnreadableError("the file cannot be read: too many open files")

    write_model(tmp_path / "a.gguf")
    folder = GgufFolder(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(gguf_headers, "read_header", fails)
        assert scan(folder)["a.gguf"].problem == "the file cannot be read: too many open files"
    assert scan(folder)["a.gguf"].problem is None


def test_a_subfolder_that_cannot_be_read_hides_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with public_folder() as folder:
        (folder / "secret").mkdir(mode=0)
        write_model(folder / "a.gguf")
        with as_nobody():
            assert list(models_in(folder)) == ["a.gguf"]
    assert "Permission denied" in caplog.text


def test_a_folder_that_cannot_be_read_is_an_error() -> None:
    with public_folder() as folder:
        (folder / "models").mkdir(mode=0)
        with as_nobody(), pytest.raises(ModelsFolderError, match="permission denied"):
            models_in(folder / "models")


def test_the_search_ends_at_a_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path
    for depth in range(1, MAX_DEPTH + 2):
        folder = folder / str(depth)
        folder.mkdir()
        (folder / f"{depth}.gguf").write_bytes(GOOD)
    assert list(models_in(tmp_path)) == [f"{depth}.gguf" for depth in range(1, MAX_DEPTH + 1)]
    assert "too deep" in caplog.text


def test_ten_thousand_models_are_listed_in_time_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 10_000
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr("modeld.builtin.gguf.files.MAX_FILES", many)
    model = write_model(tmp_path / "00000.gguf")
    for number in range(1, many + 1):
        (tmp_path / f"{number:05}.gguf").hardlink_to(model)
    folder = GgufFolder(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        first = scan(folder)
    assert len(first) == many
    assert f"{many} of them models" in caplog.text
    assert not any(spec.problem for spec in first.values())
    begin = time.process_time()
    again = scan(folder)
    assert time.process_time() - begin < 2
    assert again == first


def test_a_folder_full_of_other_files_is_not_searched_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ENTRIES == 100_000
    monkeypatch.setattr("modeld.builtin.gguf.files.MAX_ENTRIES", 10)
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text("")
    (tmp_path / "sub").mkdir()
    write_model(tmp_path / "sub" / "a.gguf")
    assert find_files(tmp_path).files == []
