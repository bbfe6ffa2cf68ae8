# SPDX-License-Identifier: GPL-3.0-only
"""What the benchmarks make of their numbers; what they measure is not run here."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import contest
from tests.bench.contest import Contest, to_and_fro
from tests.bench.plots import picture
from tests.bench.rows import Ratio, Row, compared, documents
from tests.bench.servers import Checkout

RATES = {"modeld": [10.0, 30.0, 20.0], "base": [20.0, 20.0, 20.0], "split": [10.0, 10.0, 10.0]}


def row(name: str = "rate", measured: dict[str, list[float]] = RATES, goal: str = "") -> Row:
    return Row(name=name, what="16 clients", unit="tokens/s", measured=measured, goal=goal)


def a_contest(*, is_short: bool = False, base: Checkout | None = None) -> Contest:
    return Contest(repeats=5, llama_server=None, threads=1, is_short=is_short, base=base)


def test_a_ratio_is_the_median_of_those_of_each_turn_with_its_spread() -> None:
    assert row().ratios() == {
        "base": Ratio(median=1.0, least=0.5, most=1.5),
        "split": Ratio(median=2.0, least=1.0, most=3.0),
    }


def test_a_row_says_every_subject_with_its_ratio_and_the_goal() -> None:
    assert str(row(goal="at least 1.0")) == (
        "16 clients: modeld 20.00 tokens/s; base 20.00, ratio 1.00 (0.50 to 1.50);"
        " split 10.00, ratio 2.00 (1.00 to 3.00) (goal at least 1.0)"
    )


def test_what_was_not_measured_in_pairs_has_no_ratio() -> None:
    said = compared({"modeld": [1.0, 2.0], "base": [1.0], "none": [0.0, 1.0]}, ".1f", "s")
    assert said == "modeld 1.5 s; base 1.0; none 0.5"


def test_the_document_of_rows_can_be_read_again() -> None:
    (first, second) = json.loads(json.dumps(documents([row(), "as text"])))
    assert first["measured"] == RATES
    assert first["ratios"]["base"] == {"median": 1.0, "least": 0.5, "most": 1.5}
    assert second == {"text": "as text"}


def test_subjects_take_turns_to_and_fro() -> None:
    assert [to_and_fro("ab", turn) for turn in range(3)] == ["ab", "ba", "ab"]


def test_the_short_form_ends_a_figure_that_takes_long_after_two_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(a_contest(is_short=True).turns()) == [0, 1, 2, 3, 4]
    monkeypatch.setattr(contest, "SHORT_S", -1.0)
    assert list(a_contest(is_short=True).turns()) == [0, 1]
    assert list(a_contest().turns()) == [0, 1, 2, 3, 4]


def test_another_checkout_stands_beside_this_one(tmp_path: Path) -> None:
    base = Checkout("base", tmp_path, tmp_path / "python")
    names = [each.name for each in a_contest(base=base).checkouts]
    assert names == ["modeld", "base"]
    assert base.sharing == []  # its settings have no such flag


def test_the_picture_has_a_curve_for_each_server_in_each_panel() -> None:
    rows = [
        row(f"throughput/{clients}/{what}")
        for clients in (1, 4)
        for what in ("rate", "gap between tokens")
    ]
    drawn = ET.fromstring(picture([*documents(rows), {"text": "other"}]))
    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 2 * len(RATES)


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows of `throughput`"):
        picture(documents([row()]))
