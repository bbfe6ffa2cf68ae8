# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from pathlib import Path

import pytest

from modeld.cli.main import ExitCode, main
from tests.simulation.test_traces import load, request, write

FEW = ("--requests", "200", "--model-count", "4", "--block-plugins", "llama-cpp,openvino")


def simulate(*args: str) -> int:
    return main(["simulate", *FEW, *args])


def test_a_table_compares_every_policy_with_three_budgets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate() == ExitCode.OK
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert header.split()[:3] == ["POLICY", "BUDGET", "MEAN"]
    assert {row.split()[0] for row in rows} >= {"lru", "lfu", "cost-aware"}
    assert len({row.split()[1] for row in rows}) == 3
    assert err.startswith("200 requests for 4 models of ")


def test_a_trace_is_replayed_with_the_rules_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [request("a", 100.0 + number, 10.0) for number in range(5)]
    path = write(tmp_path / "trace", load("a", 2.0, 1 << 20), *rows, request("b", 1.0))
    args = ["--trace", path, "--policy", "lru", "--budget-mb", "2", "--json"]
    assert main(["simulate", *args, "--max-queue-depth", "1"]) == ExitCode.OK
    out, err = capsys.readouterr()
    (figures,) = json.loads(out)
    assert (figures["policy"], figures["budget_bytes"]) == ("lru", 2 << 20)
    assert figures["refused"] == {"queue_full": 2}
    assert "1 request left out" in err


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "zipf.svg"
    assert simulate("--plot", str(path)) == ExitCode.OK
    assert path.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--policy", "lur"), "did you mean 'lru'"),
        (("--trace", "x"), "--requests is for requests that are made up"),
        (("--plot", "x.png"), "ends with .svg, not x.png"),
        (("--plot", "missing/x.svg"), "No such file"),
        (("--rate-per-s", "0"), "0.0 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_named(
    args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(*args) == ExitCode.USAGE
    assert said in capsys.readouterr().err
