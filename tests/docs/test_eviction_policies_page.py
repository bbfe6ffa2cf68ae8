# SPDX-License-Identifier: GPL-3.0-only
"""The figures and pictures of the page on eviction policies are what its commands make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modeld.cli.main import ExitCode, main
from modeld.settings import Settings
from modeld.simulation.generated import KINDS
from tests.support.docs.pages import DOCS, read, rows, section
from tests.support.log_state import own_log

PAGE = "explanation/eviction-policies.md"

__all__ = ["own_log"]

pytestmark = pytest.mark.usefixtures("unmeasured")  # each runs the scheduler 100,000 times


def test_a_row_is_what_the_script_computes() -> None:
    script = __import__("eviction_figures")
    table = rows(section(PAGE, "Which one wins when"))[1:]
    assert [tuple(row[:2]) for row in table] == [
        (kind, models) for models in ("different", "alike") for kind in KINDS
    ]
    (row,) = [row for row in table if tuple(row[:2]) == ("bursty", "alike")]
    assert row[4] == script.cell("bursty", 0.75, are_alike=True)


@pytest.mark.usefixtures("own_log")
def test_a_picture_is_what_the_command_draws(tmp_path: Path) -> None:
    for kind in KINDS:
        assert f"../assets/evictions-{kind}.svg" in read(PAGE)
    picture = tmp_path / "bursty.svg"
    policies = [arg for name in ("cost-aware", "lfu", "lru") for arg in ("--policy", name)]
    assert (
        main(["simulate", "--workload", "bursty", "--plot", str(picture), *policies]) == ExitCode.OK
    )
    assert (DOCS / "assets" / "evictions-bursty.svg").read_text() == picture.read_text()


def test_the_default_is_the_one_that_the_page_says() -> None:
    (said,) = re.findall(r"^\| `([\w-]+)`, the default \|", read(PAGE), re.MULTILINE)
    assert said == Settings().eviction_policy
