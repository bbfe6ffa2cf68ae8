# SPDX-License-Identifier: GPL-3.0-only
"""Who follows a tutorial sees what it shows: every step is done, in order, with a real server.

``pytest -s`` prints how many seconds the commands of each tutorial took.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

import pytest

from tests.support.docs.pages import PAGES, Block
from tests.support.docs.tutorial import (
    Reader,
    assert_shown,
    changed,
    following,
    steps,
    with_pip,
)
from tests.support.gguf.real_models import SMOLLM2, models_folder

FIRST_RESPONSE = "tutorials/first-response.md"
FIRST_PLUGIN = "tutorials/first-plugin.md"
OBSERVER = "tutorials/observer.md"
POLICY = "tutorials/eviction-policy.md"
DIALECT = "tutorials/dialect.md"
SOURCE = "tutorials/source.md"
PYTHON = "tutorials/python.md"
ALL = (FIRST_RESPONSE, FIRST_PLUGIN, OBSERVER, POLICY, DIALECT, SOURCE, PYTHON)

CHOSEN = {"token", "content", "prompt_tokens", "completion_tokens", "cached_tokens", "total_tokens"}
"""What a real model says may differ from one processor to the next."""

COUNTED = {"pid", "last_used_unix", "server_time_unix", "uptime_seconds", "est_vram_mb"}
COUNTED |= {
    "budget_mb",
    "budget_origin",
    "held_mb",
    "used_est_mb",
    "prompt_tokens_total",
    "completion_tokens_total",
    "warm_workers",
}
"""What differs from one run to the next."""


def follow(reader: Reader, page: str, unstable: Set[str] = frozenset()) -> None:
    """Do the whole page, and say how long its commands took."""
    for step in steps(page):
        reader.follow(step, unstable=unstable)
    total_s = sum(seconds for _, seconds in reader.seconds)
    print(f"{page}: {len(reader.seconds)} steps, {total_s:.1f} s")


def test_the_first_plugin_is_made_as_the_tutorial_says(tmp_path: Path) -> None:
    with following(tmp_path, with_pip(tmp_path)) as reader:
        follow(reader, FIRST_PLUGIN)


@pytest.mark.model
@pytest.mark.parametrize("page", [OBSERVER, POLICY, DIALECT, SOURCE])
def test_another_plugin_is_made_as_its_tutorial_says(page: str, tmp_path: Path) -> None:
    with following(tmp_path, with_pip(tmp_path), models_folder() / SMOLLM2) as reader:
        follow(reader, page, CHOSEN)


@pytest.mark.model
def test_the_first_response_comes_as_the_tutorial_says(tmp_path: Path) -> None:
    with following(tmp_path, {}, models_folder() / SMOLLM2) as reader:
        follow(reader, FIRST_RESPONSE, CHOSEN | COUNTED)


@pytest.mark.model
def test_models_are_used_from_python_as_the_tutorial_says(tmp_path: Path) -> None:
    with following(tmp_path, {}, models_folder() / SMOLLM2) as reader:
        follow(reader, PYTHON)


def test_these_are_all_tutorials() -> None:
    pages = {page for page in PAGES if page.startswith("tutorials/")}
    assert pages == {"tutorials/index.md", "tutorials/three-machines.md", *ALL}


@pytest.mark.parametrize("page", ALL)
def test_the_reader_does_every_block_of_a_tutorial(page: str) -> None:
    done = steps(page)
    shown = [step for step in done if step.shown is not None]
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    assert len(done) + len(shown) == len(re.findall(r"^```\w", text, re.MULTILINE))


def block(language: str, text: str) -> Block:
    return Block("some.md", 1, language, "file" if language == "diff" else None, text)


@pytest.mark.parametrize(
    ("language", "said", "output"),
    [
        ("text", "one\n", "two\n"),
        ("text", "one\n…\n", "two\none\n"),
        ("text", "pid …\n", "id 1\n"),
        ("json", '{"code": 400}', '{"code": 500}'),
        ("json", '{"code": 400}', '{"code": 400, "field": "x"}'),
        ("json", '{"pid": 1}', '{"pid": "1"}'),
        ("jsonl", '{"a": 1}\n{"b": 2}\n', '{"a": 1}\n'),
        ("jsonl", '{"a": 1}\n', '{"a": 2}\n'),
    ],
)
def test_another_output_than_the_page_shows_is_noticed(
    language: str, said: str, output: str
) -> None:
    with pytest.raises((AssertionError, ValueError)):
        assert_shown(block(language, said), said, output, {"pid"})


@pytest.mark.parametrize(
    ("language", "said", "output"),
    [
        ("text", "a  b\n…\nend\n", "a      b\n1\n2\nend\n"),
        ("text", "after …\n", "after 3 s\n"),
        ("json", '{"pid": 1, "state": "ready"}', '{"state": "ready", "pid": 2}'),
    ],
)
def test_what_a_page_leaves_open_may_differ(language: str, said: str, output: str) -> None:
    assert_shown(block(language, said), said, output, {"pid"})


def test_a_change_is_made_where_its_lines_are_and_nowhere_else() -> None:
    diff = block("diff", " a\n-b\n+c\n d\n")
    assert changed("a\nb\nd\nb\n", diff) == "a\nc\nd\nb\n"
    with pytest.raises(AssertionError, match="not there"):
        changed("a\nd\n", diff)
