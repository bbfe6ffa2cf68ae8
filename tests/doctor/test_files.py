# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

from pathlib import Path

import pytest

from modeld.doctor.files import check_file_system, check_permissions, mount_of
from tests.support.doctor.another_machine import GIB, bad, listed_in, machine, only
from tests.support.gguf.gguf_corpus import write_model

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
    listed = listed_in(tmp_path)
    assert list(check_permissions([tmp_path], listed.specs)) == []
    model.chmod(0o666)
    finding = only(bad(check_permissions([tmp_path], listed.specs)))
    assert str(tmp_path / "a.gguf") in finding.message
    tmp_path.chmod(0o777)
    assert "and 1 more" in only(check_permissions([tmp_path], listed.specs)).message


def test_in_a_folder_with_the_sticky_bit_nobody_replaces_the_file_of_another(tmp_path):
    tmp_path.chmod(0o1777)
    assert list(check_permissions([tmp_path], [])) == []
