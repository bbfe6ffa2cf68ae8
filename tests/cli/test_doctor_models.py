# SPDX-License-Identifier: GPL-3.0-only
"""The models and their files, as ``modeld doctor`` sees them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from modeld import EngineHost, MemoryEstimate, ModelSpec, Options
from modeld.cli.examination import catalogue as catalogues
from modeld.cli.examination.catalogue import Catalogue
from modeld.cli.examination.files import check_file_system, check_permissions, mount_of
from modeld.cli.examination.models import (
    MOST_LISTED,
    check_duplicates,
    check_files,
    check_settings,
    check_sources,
)
from modeld.hosting.host import ThreadHosting, hosting
from modeld.plugins import PluginHost
from modeld.settings import Settings
from tests.cli.another_machine import GIB, bad, catalogue, machine, only, spec
from tests.gguf_corpus import write_model
from tests.some_plugins import Brings, Thing


def read(folder: Path, **settings: object) -> Catalogue:
    given = Settings(models_dir=str(folder), **settings)
    return asyncio.run(catalogues.read(given, PluginHost.discover(given)))


@pytest.mark.usefixtures("rig")
def test_models_are_counted_and_the_useless_ones_named_with_their_reasons(models):
    listed = read(models, block_plugins=("llama-cpp",))
    counted = only(check_sources(listed, Settings()))
    assert (counted.facts["found"], counted.facts["usable"]) == (2, 1)
    finding = only(bad(check_files(listed)))
    assert (finding.subject, finding.level) == ("empty.gguf", "warning")
    assert "the file is empty (0 bytes)" in finding.message
    assert str(models / "empty.gguf") in str(finding.fix)


def test_a_folder_that_is_missing_is_an_error_that_says_what_to_do(tmp_path):
    finding = only(check_sources(read(tmp_path / "none"), Settings()))
    assert finding.level == "error"
    assert "no such file or directory" in finding.message
    assert finding.fix == "make the folder or set models_dir to another one"


def test_a_folder_without_models_is_a_warning(tmp_path):
    finding = only(check_sources(read(tmp_path), Settings(models_dir=str(tmp_path))))
    assert (finding.level, str(tmp_path) in finding.message) == ("warning", True)


def test_many_useless_files_are_counted_and_not_all_listed(tmp_path):
    for number in range(MOST_LISTED + 3):
        (tmp_path / f"{number}.gguf").write_bytes(b"")
    found = list(check_files(read(tmp_path)))
    assert len(found) == MOST_LISTED + 1
    assert found[-1].message == "3 more models cannot be used"


@pytest.mark.usefixtures("rig")
def test_a_model_that_no_backend_loads_is_a_warning(tmp_path):
    write_model(tmp_path / "a.gguf", architecture="unheard-of")
    finding = only(check_files(read(tmp_path, block_plugins=("llama-cpp",))))
    assert (finding.subject, finding.level) == ("a.gguf", "warning")
    assert "no installed backend can load 'a.gguf'" in finding.message


@pytest.mark.usefixtures("rig")
def test_options_that_a_server_would_not_start_with_are_an_error(models):
    rows = {"tiny*": {"slot": 2}}
    finding = bad(check_files(read(models, block_plugins=("llama-cpp",), models=rows)))[-1]
    assert (finding.subject, finding.level) == ("tiny.gguf", "error")
    assert "models['tiny*'].slot: backend 'rig' has no such option" in finding.message


LISTED = Catalogue(specs=[spec("a.gguf"), spec("b.gguf", problem="it is cut off")])


@pytest.mark.parametrize(
    ("default", "level", "says"),
    [
        ("a.gguf", "ok", "a.gguf"),
        ("b.gguf", "error", "cannot be used"),
        ("c.gguf", "error", "there is no model 'c.gguf'; did you mean"),
    ],
)
def test_the_default_model_must_be_one_that_can_be_used(default, level, says):
    finding = only(check_settings(LISTED, Settings(default_model=default)))
    assert finding.level == level
    assert says in finding.message


def test_options_for_models_that_do_not_exist_are_a_warning():
    settings = Settings(models={"*": {}, "b.*": {}, "llama-*": {"slots": 1}})
    finding = only(check_settings(LISTED, settings))
    assert (finding.level, "models['llama-*']" in finding.message) == ("warning", True)
    assert list(check_settings(Catalogue(), settings)) == []


def test_copies_and_links_of_a_model_are_found(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        write_model(tmp_path / name)
    write_model(tmp_path / "other.gguf", architecture="qwen2")
    os.link(tmp_path / "a.gguf", tmp_path / "linked.gguf")
    copy, link = check_duplicates(read(tmp_path))
    assert (copy.subject, copy.level) == ("b.gguf", "warning")
    assert "a copy of a.gguf" in copy.message
    assert link.subject == "linked.gguf"
    assert "the same file as a.gguf" in link.message


def test_models_of_one_size_with_other_content_are_no_copies(tmp_path):
    for name, content in (("a", b"x"), ("b", b"y")):
        write_model(tmp_path / f"{name}.gguf")
        with (tmp_path / f"{name}.gguf").open("ab") as file:
            file.write(content * 100_000)
    assert list(check_duplicates(read(tmp_path))) == []


def test_files_that_cannot_be_used_are_no_copies(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUX" * 9)
    assert list(check_duplicates(read(tmp_path))) == []


def test_a_model_that_another_source_hides_is_named():
    listed = Catalogue(specs=[spec("a.gguf")], hidden={"a.gguf": "hub"})
    assert "the source hub" in only(bad(check_duplicates(listed))).message


@pytest.mark.usefixtures("rig")
def test_an_estimate_that_leaves_it_open_is_measured_as_the_server_would(models):
    settings = Settings(
        models_dir=str(models),
        models={"*": {"estimate_mb": 100, "measured_mb": 130}},
        block_plugins=("llama-cpp",),
        spare_workers=0,
    )

    async def need(limit_mb: int) -> int:
        plugins = PluginHost.discover(settings)
        listed = await catalogues.read(settings, plugins)
        workers = hosting(settings, tuple(plugins.backends.values()))
        try:
            measured = await catalogues.measure(listed, limit_mb << 20, workers)
        finally:
            await workers.aclose()
        return measured.loadable["tiny.gguf"].need_bytes >> 20

    assert asyncio.run(need(120)) == 130
    assert asyncio.run(need(1000)) == 100


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /srv/my\\040models rw - nfs4 server:/models rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"), [("/srv/my models/llm", "nfs4"), ("/srv/my", "ext4"), ("/srv", "ext4")]
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_file_system_is_that_of_the_deepest_mount(tmp_path, path, kind, order):
    mounts = "\n".join(MOUNTS.splitlines()[::order])
    found = mount_of(Path(path), machine(tmp_path, {"/proc/self/mountinfo": mounts}))
    assert found is not None
    assert found.kind == kind


def mounted(tmp_path: Path, kind: str) -> str:
    return f"22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:2 / {tmp_path} rw - {kind} x rw\n"


@pytest.mark.parametrize(("kind", "level"), [("xfs", "ok"), ("nfs4", "warning")])
def test_models_on_a_network_file_system_are_a_warning(tmp_path, kind, level):
    here = machine(tmp_path, {"/proc/self/mountinfo": mounted(tmp_path, kind)})
    found = list(check_file_system(tmp_path, here))
    assert found[0].level == level
    assert found[-1].message == f"{kind}, 50.0 GiB of 100.0 GiB free"


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path):
    here = machine(tmp_path, disk=lambda _: (100 * GIB, 99 * GIB, GIB))
    finding = only(check_file_system(tmp_path, here))
    assert (finding.level, "nearly full" in finding.message) == ("warning", True)


def test_a_folder_that_is_not_there_has_no_file_system(tmp_path):
    assert list(check_file_system(tmp_path / "none", machine(tmp_path))) == []


def test_files_and_folders_that_everybody_may_write_are_a_warning(tmp_path):
    model = write_model(tmp_path / "a.gguf")
    tmp_path.chmod(0o755)
    listed = read(tmp_path)
    assert list(check_permissions(tmp_path, listed.specs)) == []
    model.chmod(0o666)
    finding = only(bad(check_permissions(tmp_path, listed.specs)))
    assert str(tmp_path / "a.gguf") in finding.message
    tmp_path.chmod(0o777)
    assert "and 1 more" in only(check_permissions(tmp_path, listed.specs)).message


def test_in_a_folder_with_the_sticky_bit_nobody_replaces_the_file_of_another(tmp_path):
    tmp_path.chmod(0o1777)
    assert list(check_permissions(tmp_path, [])) == []


def test_models_are_sorted_by_what_they_need():
    assert [each.spec.id for each in catalogue(large=300, small=100).by_size] == ["small", "large"]


class Faulty(Thing):
    """Fails whenever it is asked about a model."""

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        if spec.id == "bad.gguf":
            raise KeyError("block_count")
        return MemoryEstimate(weights_bytes=100 << 20)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        raise KeyError("no dry run")


def test_a_backend_that_fails_with_one_model_leaves_the_others(tmp_path):
    write_model(tmp_path / "bad.gguf")
    write_model(tmp_path / "good.gguf", architecture="qwen2")
    settings = Settings(models_dir=str(tmp_path), block_plugins=("llama-cpp",))
    plugins = PluginHost.discover(settings, {"faulty": Brings(Faulty(loads=True))})

    async def listed() -> Catalogue:
        found = await catalogues.read(settings, plugins)
        return await catalogues.measure(found, 1, ThreadHosting(settings))

    found = asyncio.run(listed())
    assert found.loadable["good.gguf"].need_bytes == 100 << 20
    finding = only(bad(check_files(found)))
    assert (finding.subject, "KeyError('block_count')" in finding.message) == ("bad.gguf", True)
