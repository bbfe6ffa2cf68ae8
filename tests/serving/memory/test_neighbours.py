# SPDX-License-Identifier: GPL-3.0-only
"""Servers of one machine that tell each other what they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modeld.machine.files import Machine
from modeld.serving.memory.neighbours import Neighbours


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    (tmp_path / "tmp").mkdir()
    return Machine(root=tmp_path, environ={})


def files(here: Machine) -> list[Path]:
    return [path for path in here.path("/tmp").rglob("*") if path.is_file()]


def test_each_hears_of_all_others_and_not_of_itself(here: Machine) -> None:
    a, b, c = Neighbours(here), Neighbours(here), Neighbours(here)
    a.tell(100)
    b.tell(20)
    b.tell(30)

    assert [each.hidden_bytes() for each in (a, b, c)] == [30, 100, 130]
    a.close()
    assert c.hidden_bytes() == 30
    b.close()
    assert files(here) == []


def test_who_holds_nothing_leaves_no_file(here: Machine) -> None:
    Neighbours(here).tell(0)
    assert files(here) == []


def test_what_a_server_has_said_ends_with_it(here: Machine) -> None:
    gone = Neighbours(here)
    gone.tell(100)
    gone.forget()  # as the system does when the process ends

    assert Neighbours(here).hidden_bytes() == 0
    assert files(here) == []


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_process_that_was_forked_off_keeps_nothing_alive(here: Machine) -> None:
    (there, hold), (forked, say) = os.pipe(), os.pipe()
    told = Neighbours(here)
    told.tell(100)
    pid = os.fork()
    if not pid:
        os.close(hold)
        os.write(say, b"!")
        os.read(there, 1)
        os._exit(0)
    os.read(forked, 1)
    told.forget()

    assert Neighbours(here).hidden_bytes() == 0
    os.close(hold)
    os.waitpid(pid, 0)
    for each in (there, forked, say):
        os.close(each)


def test_what_others_have_put_there_is_not_believed(here: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here.path(f"/tmp/modeld-{os.geteuid()}.held").symlink_to(elsewhere)
    one = Neighbours(here)
    one.tell(100)

    assert Neighbours(here).hidden_bytes() == 0
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_says_no_number_says_nothing(here: Machine) -> None:
    one = Neighbours(here)
    one.tell(100)
    (path,) = files(here)
    path.write_text("much")

    assert Neighbours(here).hidden_bytes() == 0
    one.close()


def test_where_no_folder_can_be_written_to_nothing_is_said(tmp_path: Path) -> None:
    nowhere = Machine(root=tmp_path / "missing", environ={})
    one = Neighbours(nowhere)
    one.tell(100)
    assert Neighbours(nowhere).hidden_bytes() == 0
    one.close()
