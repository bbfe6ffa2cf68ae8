# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from modeld import ModelSpec, Settings
from modeld.builtin.gguf.problems import ModelsFolderError
from modeld.builtin.huggingface import (
    HuggingFaceCache,
    HuggingFaceSettings,
    cache_of,
    modeld_register_sources,
)
from modeld.testing import SourceContract
from tests.support.gguf.gguf_corpus import model_bytes

GOOD = model_bytes()
OLD, NEW, OTHER = "1f" * 20, "2e" * 20, "3d" * 20


def add(cache: Path, repository: str, revision: str, name: str, content: bytes = GOOD) -> Path:
    """Put a file into the cache as `huggingface_hub` does, and return its link."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    blob = folder / "blobs" / f"{abs(hash(content)):064x}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link = folder / "snapshots" / revision / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def refer(cache: Path, repository: str, name: str, revision: str) -> None:
    ref = cache / f"models--{repository.replace('/', '--')}" / "refs" / name
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(revision)


def models_in(cache: Path) -> dict[str, ModelSpec]:
    return {spec.id: spec for spec in asyncio.run(HuggingFaceCache(str(cache)).list_models())}


def test_what_main_names_goes_by_repository_and_file(tmp_path: Path) -> None:
    link = add(tmp_path, "someone/tiny-GGUF", NEW, "tiny-Q4_0.gguf")
    add(tmp_path, "someone/tiny-GGUF", NEW, "README.md", b"# tiny")
    refer(tmp_path, "someone/tiny-GGUF", "main", NEW)
    add(tmp_path, "tiny", OTHER, "deep/one.gguf")
    (tmp_path / "datasets--someone--texts").mkdir()
    found = models_in(tmp_path)
    assert list(found) == ["someone/tiny-GGUF/tiny-Q4_0.gguf", "tiny/deep/one.gguf"]
    spec = found["someone/tiny-GGUF/tiny-Q4_0.gguf"]
    assert (spec.problem, spec.path, spec.source) == (None, str(link), "huggingface")
    assert spec.aliases == ("someone/tiny-GGUF:Q4_0",)
    assert spec.stamp is not None
    assert spec.stamp.inode == link.stat().st_ino


def test_other_revisions_have_their_names_and_no_file_is_listed_twice(tmp_path: Path) -> None:
    old = model_bytes(name="Old")
    add(tmp_path, "a/b", NEW, "m.gguf")
    add(tmp_path, "a/b", OLD, "m.gguf", old)
    add(tmp_path, "a/b", OTHER, "m.gguf", model_bytes(name="Dev"))
    add(tmp_path, "a/b", OTHER, "same.gguf")
    refer(tmp_path, "a/b", "main", NEW)
    refer(tmp_path, "a/b", "pr/1", OTHER)
    refer(tmp_path, "a/b", "odd", "../../elsewhere")
    refer(tmp_path, "a/b", "lost", "ab" * 20)
    assert {model: spec.name for model, spec in models_in(tmp_path).items()} == {
        "a/b/m.gguf": "Tiny Llama",
        "a/b@pr/1/m.gguf": "Dev",
        f"a/b@{OLD[:8]}/m.gguf": "Old",
    }


def test_an_older_revision_keeps_what_has_not_changed_since(tmp_path: Path) -> None:
    for revision, name in ((NEW, "New"), (OLD, "Old")):
        add(tmp_path, "a/b", revision, "m-Q4_0.gguf", model_bytes(name=name))
        add(tmp_path, "a/b", revision, "mmproj-F16.gguf", b"the same")
        for number, tensors in ((1, ("token_embd.weight", "a", "b")), (2, ("c", "d", "e"))):
            first = name if number == 1 else "of both"
            content = model_bytes(name=first, split=(number - 1, 2, 6), tensors=tensors)
            add(tmp_path, "a/s", revision, f"s-{number:05}-of-00002.gguf", content)
    for repository in ("a/b", "a/s"):
        refer(tmp_path, repository, "main", NEW)
    found = models_in(tmp_path)
    assert {model: (spec.problem, spec.aliases) for model, spec in found.items()} == {
        "a/b/m-Q4_0.gguf": (None, ("a/b:Q4_0",)),
        f"a/b@{OLD[:8]}/m-Q4_0.gguf": (None, ()),
        "a/s/s-00001-of-00002.gguf": (None, ("a/s:Q4_0",)),
        f"a/s@{OLD[:8]}/s-00001-of-00002.gguf": (None, ()),
    }
    old = found[f"a/b@{OLD[:8]}/m-Q4_0.gguf"]
    assert old.projector == str(Path(old.path).with_name("mmproj-F16.gguf"))


def test_a_snapshot_that_leads_in_a_circle_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path, "a/b", NEW, "m.gguf")
    refer(tmp_path, "a/b", "main", NEW)
    circle = tmp_path / "models--a--b" / "snapshots" / OLD
    circle.symlink_to(circle)
    source = HuggingFaceCache(str(tmp_path))
    for _ in range(2):
        assert [spec.id for spec in asyncio.run(source.list_models())] == ["a/b/m.gguf"]
    [told] = caplog.messages
    assert str(circle) in told


def test_a_quantisation_that_is_there_twice_is_no_alias(tmp_path: Path) -> None:
    for name in ("one-Q4_0.gguf", "two-Q4_0.gguf"):
        add(tmp_path, "a/b", NEW, name, model_bytes(name=name))
    assert {spec.aliases for spec in models_in(tmp_path).values()} == {()}


def test_what_is_being_downloaded_is_no_model_and_what_is_lost_has_a_problem(
    tmp_path: Path,
) -> None:
    link = add(tmp_path, "a/b", NEW, "m.gguf")
    blobs = tmp_path / "models--a--b" / "blobs"
    (blobs / ("cd" * 32 + ".incomplete")).write_bytes(GOOD[:100])
    assert list(models_in(tmp_path)) == ["a/b/m.gguf"]
    link.resolve().unlink()
    problem = models_in(tmp_path)["a/b/m.gguf"].problem
    assert problem == "link cannot be followed: no such file or directory"


def test_a_projector_belongs_to_all_quantisations_of_its_repository(tmp_path: Path) -> None:
    for name in ("m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"):
        add(tmp_path, "a/b", NEW, name, model_bytes(name=name))
    found = models_in(tmp_path)
    assert len(found) == 2
    assert all((spec.projector or "").endswith("mmproj-F16.gguf") for spec in found.values())


def test_folders_that_a_download_changes_are_watched_and_blobs_are_not(tmp_path: Path) -> None:
    link = add(tmp_path, "a/b", NEW, "m.gguf")
    cache = HuggingFaceCache(str(tmp_path))
    assert cache.watched_paths() == [str(tmp_path)]
    asyncio.run(cache.list_models())
    repository = tmp_path / "models--a--b"
    assert list(cache.watched_paths()) == [
        str(tmp_path),
        *(str(each) for each in (repository, repository / "refs", repository / "snapshots")),
        str(link.parent),
    ]


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/hub"),
        ({"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}, "/c"),
        ({"HF_HUB_CACHE": "", "HF_HOME": ""}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_tools_have_it(environment: dict[str, str], cache: str) -> None:
    assert cache_of(environment) == cache


def test_it_is_off_unless_it_is_turned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, "a/b", NEW, "m.gguf")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert list(modeld_register_sources(Settings())) == []
    own = HuggingFaceSettings(enabled=True)
    [source] = modeld_register_sources(Settings(plugins=(own,)))
    assert [spec.id for spec in asyncio.run(source.list_models())] == ["a/b/m.gguf"]


def test_a_cache_that_is_missing_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelsFolderError, match=r"set huggingface\.cache_dir") as refused:
        models_in(tmp_path / "gone")
    assert refused.value.field == "huggingface.cache_dir"


class TestHuggingFaceCache(SourceContract):
    lost = HuggingFaceCache("/there/is/no/such/folder")

    @pytest.fixture
    def source(self, tmp_path: Path) -> HuggingFaceCache:
        add(tmp_path, "a/b", NEW, "m.gguf")
        add(tmp_path, "a/b", NEW, "cut.gguf", GOOD[:500])
        return HuggingFaceCache(str(tmp_path))
