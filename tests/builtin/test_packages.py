# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from modeld import Settings
from modeld.builtin.packages import (
    InstalledPackages,
    PackagesSettings,
    modeld_register_sources,
)
from modeld.testing import SourceContract
from tests.support.gguf.gguf_corpus import model_bytes

GOOD = model_bytes()


def install(site: Path, name: str, *files: str) -> Path:
    """Put a distribution into a folder as pip does, and return its record."""
    rows = [f"{name}/__init__.py,sha256=x,0"]
    for file in files:
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(GOOD)
        rows.append(f'"{file}",sha256=x,{len(GOOD)}')
    record = site / f"{name}-1.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("\n".join(rows))
    return record


def ids(source: InstalledPackages) -> list[str]:
    return [spec.id for spec in asyncio.run(source.list_models())]


def test_models_go_by_distribution_and_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    install(one, "tiny_models", "tiny_models/data/a.gguf", "tiny_models/b, c.gguf")
    install(one, "twice", "twice/x/a.gguf", "twice/y/a.gguf")
    install(one, "other")
    install(two, "tiny_models", "tiny_models/data/a.gguf")
    source = InstalledPackages([str(one), str(two), str(tmp_path / "gone"), str(one)])
    specs = asyncio.run(source.list_models())
    assert {spec.id: spec.path for spec in specs} == {
        "tiny_models/a.gguf": str(one / "tiny_models/data/a.gguf"),
        "tiny_models/b, c.gguf": str(one / "tiny_models/b, c.gguf"),
        "twice/twice/x/a.gguf": str(one / "twice/x/a.gguf"),
        "twice/twice/y/a.gguf": str(one / "twice/y/a.gguf"),
    }
    assert {(spec.problem, spec.source) for spec in specs} == {(None, "packages")}


def test_a_record_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    record = install(tmp_path, "tiny", "tiny/a.gguf")
    source = InstalledPackages([str(tmp_path)])
    assert ids(source) == ["tiny/a.gguf"]
    status = record.stat()
    record.write_text("tiny/b.gguf,,")
    os.utime(record, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ids(source) == ["tiny/a.gguf"], "by its time it is the same"
    os.utime(record, ns=(1, 1))
    assert ids(source) == ["tiny/b.gguf"]
    record.unlink()
    assert ids(source) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a.gguf," + "x" * 200_000, "field larger than field limit"),
        (b"\xff a.gguf", "can't decode"),
    ],
)
def test_a_record_that_cannot_be_read_hides_no_other_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, said: str
) -> None:
    bad = install(tmp_path, "bad", "bad/a.gguf")
    install(tmp_path, "good", "good/a.gguf")
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = InstalledPackages([str(tmp_path)])
    assert ids(source) == ids(source) == ["good/a.gguf"]
    [told] = caplog.messages
    assert str(bad) in told
    assert said in told


def test_a_name_with_a_null_character_is_a_problem(tmp_path: Path) -> None:
    install(tmp_path, "bad").write_text("bad/a\0.gguf,,")
    install(tmp_path, "good", "good/a.gguf")
    found = asyncio.run(InstalledPackages([str(tmp_path)]).list_models())
    assert [spec.problem is None for spec in found] == [False, True]


def test_it_is_off_unless_it_is_turned_on() -> None:
    assert list(modeld_register_sources(Settings())) == []
    [source] = modeld_register_sources(Settings(plugins=(PackagesSettings(enabled=True),)))
    assert source.name == "packages"
    asyncio.run(source.list_models())


class TestInstalledPackages(SourceContract):
    lost = InstalledPackages(["/there/is/no/such/folder"])

    @pytest.fixture
    def source(self, tmp_path: Path) -> InstalledPackages:
        install(tmp_path, "tiny", "tiny/a.gguf", "tiny/b.gguf")
        return InstalledPackages([str(tmp_path)])
