# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from bench_runs import answered, failed, level, report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_bench.outcome import Usage
from modeld_bench.prompts import Text
from modeld_bench.reports import files
from modeld_bench.reports.report import Report, duration_text, number_text
from modeld_bench.reports.summary import summarise

from modeld.errors import ConfigurationError

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOSTILE = '<script>alert("x")</script>&\x1b[2J\u202e$x^2$'


def usage(completion: int | None, prompt: int | None = None, cached: int | None = None) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)


def test_rates_are_over_the_time_from_the_first_request_to_the_last_end():
    found = summarise(
        level(
            2,
            answered(3.0, 4.5, sent_s=2.0, usage=usage(6, prompt=20, cached=6)),
            answered(1.0, 2.0, sent_s=0.5, usage=usage(2, prompt=10, cached=4)),
        )
    )
    assert found.wall_s == 4.0
    assert (found.tokens, found.pieces) == (8, 4)
    assert (found.tokens_per_s, found.requests_per_s) == (2.0, 0.5)
    assert (found.prompt_tokens, found.cached_tokens, found.prompt_tokens_per_s) == (30, 10, 5.0)
    assert (found.first_token_s.least, found.first_token_s.most) == (0.5, 1.0)
    assert (found.gap_s.count, found.gap_s.least, found.gap_s.most) == (2, 1.0, 1.5)


def test_failures_count_in_the_time_and_nowhere_else():
    found = summarise(
        level(
            1,
            failed("429 queue_full", "full", 3.0),
            answered(1.0, 2.0, usage=usage(2)),
            failed("429 queue_full", "fuller", 1.0),
            failed("timeout"),
        )
    )
    assert (found.requests, found.answered, found.failed, found.failed_share) == (4, 1, 3, 0.75)
    assert found.tokens_per_s == 1.0
    full, late = found.failures
    assert (full.reason, full.count, full.message) == ("429 queue_full", 2, "full")
    assert full.retry_after_s == (1.0, 3.0)
    assert (late.reason, late.count, late.retry_after_s) == ("timeout", 1, None)


def test_where_nothing_was_answered_there_are_no_times():
    found = summarise(level(1, failed("timeout")))
    assert found.first_token_s is found.gap_s is found.total_s is found.prompt_tokens is None
    assert found.tokens_per_s == 0.0


def test_prompt_tokens_are_told_only_if_all_are_known():
    known, unknown = answered(1.0, usage=usage(1, prompt=5)), answered(1.0)
    assert summarise(level(1, known, known)).prompt_tokens_per_s == 10.0
    assert summarise(level(1, known, unknown)).prompt_tokens_per_s is None


def notes(*levels, **kwargs) -> str:
    return "\n".join(report(*levels, **kwargs).notes())


def test_notes_say_how_tokens_were_counted():
    counted = answered(1.0, 2.0, usage=usage(2))
    assert notes(level(1, counted)) == ""
    said = notes(level(1, counted, answered(1.0)))
    assert "did not count the tokens of 1 generation;" in said
    assert "held 2.00 tokens on average" in notes(level(1, answered(1.0, usage=usage(2))))


def test_notes_say_when_the_client_was_busy():
    counted = answered(1.0, usage=usage(1))
    assert notes(level(1, counted, cpu_share=0.5)) == ""
    assert "took 51% of a core" in notes(level(1, counted, cpu_share=0.51))


def test_notes_say_what_failed_and_what_was_left_out():
    cut = level(4, failed("429 queue_full", "line\x1b is full", 2.0))
    cut.begun = 4  # the other three were under way
    said = report(cut, interrupted=True, prompts=Text(text="hi")).as_text()
    assert "4 clients: 1 failed: 429 queue_full (line\\x1b is full); Retry-After 2 s" in said
    assert "interrupted with 3 requests under way" in said
    assert "all prompts were the same" in said
    assert "the run was interrupted" in said


def test_notes_say_where_there_were_fewer_requests_than_clients():
    counted = answered(1.0, usage=usage(1))
    said = notes(level(3, counted, counted))
    assert said == (
        "3 clients: only 2 requests, so never more than that at once; set --requests higher"
    )
    assert notes(level(2, counted, counted)) == ""


def test_the_table_has_a_column_for_each_level():
    some = report(level(1, answered(1.0, 1.5)), level(16, failed("x"), failed("x")))
    header, rows = some.table()
    assert header == ["", "1 client", "16 clients"]
    table = {name: cells for name, *cells in rows}
    assert table["requests answered"] == ["1", "0"]
    assert table["requests failed"] == ["0", "2 (100%)"]
    assert table["time to first token, p99"] == ["1.00 s", ""]
    assert table["gap between tokens, worst"] == ["500 ms", ""]


def test_json_has_every_figure_of_every_level():
    document = json.loads(report(level(1, answered(1.0, 1.5), failed("x"))).as_json())
    (only,) = document["levels"]
    assert only["first_token_s"]["p99"] == 1.0
    assert only["gap_s"]["most"] == 0.5
    assert only["failures"] == [{"reason": "x", "count": 1, "message": "", "retry_after_s": None}]
    assert document["parameters"]["prompt_words"] == {"tokens": 16, "shared": 0, "seed": 1}
    assert document["parameters"]["requests"] == [8]


@unhurried
@given(st.floats(1e-6, 1e4))
def test_a_time_is_written_with_three_digits(seconds):
    value, unit = duration_text(seconds).split()
    factor = {"ms": 1e-3, "s": 1.0}[unit]
    assert float(value) * factor == pytest.approx(seconds, rel=0.006)


def test_numbers_are_short():
    assert [number_text(value) for value in (0, 0.0123, 3.14159, 99.96, 1234.5)] == [
        "0",
        "0.0123",
        "3.14",
        "100",
        "1234",
    ]


class Page(HTMLParser):
    """The tags and the attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def hostile() -> Report:
    """Return a report whose every text comes from someone who means harm."""
    made = report(
        level(1, answered(1.0, 1.5), failed("500", HOSTILE)),
        level(4, *[answered(float(n), n + 50.0) for n in range(1, 9)], failed("x")),
        model=HOSTILE,
    )
    return replace(made, plan=replace(made.plan, url=f"http://{HOSTILE}"))


def test_the_page_is_whole_and_refers_to_nothing(hostile, tmp_path):
    files.write_plot(hostile, str(tmp_path / "run.html"))
    text = (tmp_path / "run.html").read_text()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert {"svg", "table", "style", "title"} <= set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert "url(#" in text
    assert "url(h" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    for _, *cells in hostile.table()[1]:
        assert all(cell.replace("<", "&lt;") in text for cell in cells)


def test_the_drawing_is_xml_with_the_labels_of_its_axes(hostile, tmp_path):
    files.write_plot(hostile, str(tmp_path / "run.svg"))
    root = ElementTree.parse(tmp_path / "run.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {text.strip() for text in root.itertext()}
    assert {"tokens/s", "clients at once"} <= texts
    assert {"time to first token (s)", "gap between tokens (s)"} <= texts
    assert any(HOSTILE.partition("\x1b")[0] in text for text in texts)


def test_the_picture_is_a_png(hostile, tmp_path):
    files.write_plot(hostile, str(tmp_path / "run.PNG"))
    assert (tmp_path / "run.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_run_without_any_response_can_be_drawn(tmp_path):
    files.write_plot(report(level(1, failed("x"))), str(tmp_path / "run.html"))
    assert "1 failed: x" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize("name", ["run.pdf", "run", "missing/run.svg", "folder.svg"])
def test_a_plot_that_cannot_be_written_is_found_out_before_the_run(name, tmp_path):
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ConfigurationError, match="--plot"):
        files.check_plot(str(tmp_path / name))
