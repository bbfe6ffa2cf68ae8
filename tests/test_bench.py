# SPDX-License-Identifier: GPL-3.0-only
"""What the benchmarks make of their numbers; what they measure is not run here."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import contest
from tests.bench.__main__ import NOT_SHORT, figures
from tests.bench.contest import Contest, to_and_fro
from tests.bench.figures.json_texts import FORMS, Form
from tests.bench.page import BEGIN, END, PICTURES, picture, section
from tests.bench.rows import Goal, Ratio, Row, against_base, compared, documents
from tests.bench.servers import HERE, Checkout

RATES = {"modeld": [10.0, 30.0, 20.0], "base": [20.0, 20.0, 20.0], "split": [10.0, 10.0, 10.0]}


PAGE = (HERE.root / "docs/explanation/benchmarks.md").read_text()


def row(
    name: str = "rate",
    measured: dict[str, list[float]] = RATES,
    goal: Goal | None = None,
    *,
    more: bool = True,
) -> Row:
    return Row(
        name=name, what="16 clients", unit="tokens/s", measured=measured, goal=goal, more=more
    )


def a_contest(*, is_short: bool = False, base: Checkout | None = None) -> Contest:
    return Contest(repeats=5, llama_server=None, threads=1, is_short=is_short, base=base)


def test_a_ratio_is_the_median_of_those_of_each_turn_with_its_spread() -> None:
    assert row().ratios() == {
        "base": Ratio(median=1.0, least=0.5, most=1.5),
        "split": Ratio(median=2.0, least=1.0, most=3.0),
    }


def test_a_row_says_every_subject_with_its_ratio_and_the_goal() -> None:
    assert str(row(goal=Goal(least=1.0, against=("split",)))) == (
        "16 clients: modeld 20.00 tokens/s; base 20.00, ratio 1.00 (0.50 to 1.50);"
        " split 10.00, ratio 2.00 (1.00 to 3.00) (goal at least 1 times)"
    )


def test_of_several_peers_the_one_that_does_best_counts() -> None:
    rates = {"modeld": [10.0], "split": [8.0], "unified": [20.0]}
    goal = Goal(least=1.0, against=("split", "unified"))
    assert row(measured=rates, goal=goal).reached() == 0.5
    assert str(row(measured=rates, goal=goal)).endswith("(goal at least 1 times, missed)")
    assert row(measured=rates, goal=goal, more=False).reached() == 1.25


def test_a_goal_without_a_peer_is_of_the_median_alone() -> None:
    assert row(goal=Goal(most=20.0)).document()["met"] is True
    assert row(goal=Goal(most=19.0)).document()["met"] is False


def test_a_goal_against_a_peer_that_was_not_there_is_neither_met_nor_missed() -> None:
    assert (
        row(measured={"modeld": [1.0]}, goal=Goal(most=1.0, against=("split",))).document()["met"]
        is None
    )


def test_rows_that_have_got_worse_than_the_base_are_named_whichever_way_they_count() -> None:
    pair = {"modeld": [90.0], "base": [100.0]}
    said = against_base(
        [
            row("slower", pair),
            row("cheaper", pair, more=False),
            row("alone", {"modeld": [1.0]}),
            "text",
        ]
    )
    assert said == ["2 rows in pairs with the base, 1 below 0.97 of it", "  slower: 0.90"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_keys_are_as_much_of_the_asked_objects_as_their_rows_say(form: Form) -> None:
    longest = {name: _longest(of) for name, of in form.properties.items()}
    keys = sum(len(f'"{name}":') for name in longest)
    share = keys / len(json.dumps(longest, separators=(",", ":")))
    assert share == pytest.approx({"sixth": 1 / 6, "half": 1 / 2}[form.name], abs=0.05)


def _longest(of: dict[str, object]) -> object:
    match of:
        case {"enum": [*texts]}:
            return max(texts, key=len)
        case {"maxLength": int(length)}:
            return "x" * length
        case _:
            return True


def test_the_page_names_all_figures_and_those_that_the_short_form_leaves_out() -> None:
    names = figures(a_contest())
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert set(NOT_SHORT) < set(names)


def test_a_checkout_is_asked_for_its_flags_under_the_names_that_it_has_for_them() -> None:
    assert HERE.warm_workers(0) == ["--warm-workers", "0"]
    assert HERE.budget(300) == ["--memory-budget-mb", "300"]
    assert HERE.flag("--no-such-flag", "--share-machine") == ["--share-machine"]
    assert HERE.flag("--no-such-flag", value="1") == []


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
    assert not base.has("tests/bench/growth_app.py")


THROUGHPUT = PICTURES["bench-throughput.svg"]


def test_a_picture_has_a_curve_for_each_server_but_the_base_in_each_panel_with_rows() -> None:
    rows = [
        row(f"{figure}/{clients}/rate") for clients in (1, 4) for figure in ("throughput", "alike")
    ]
    drawn = ET.fromstring(picture([*documents(rows), {"text": "other"}], *THROUGHPUT))
    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 2 * len({"modeld", "split"})


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no rows for 'Throughput"):
        picture(documents([row()]), *THROUGHPUT)


def test_the_table_has_what_was_measured_beside_its_goal() -> None:
    goal = Goal(least=2.5, against=("split",))
    rows = documents([row("x/rate", goal=goal), row("x/first token"), "as text"])
    about = {"command": "make it", "date": "today", "machine": "two cores", "load": "load 9"}
    lines = section([{**about, "rows": rows}]).splitlines()
    assert "`make it` on today: two cores, load 9." in lines
    (found,) = [line for line in lines if line.startswith("| ")][1:]
    assert found == (
        "| 16 clients | 20.00 tokens/s | split 10.00 | 2.00 (1.00 to 3.00) | at least 2.5 times"
        " | missed |"
    )


def test_the_page_has_the_marks_between_which_rows_are_written_and_both_pictures() -> None:
    assert PAGE.index(BEGIN) < PAGE.index(END)
    for name in PICTURES:
        assert f"](../assets/{name})" in PAGE
        assert (HERE.root / "docs/assets" / name).exists()
