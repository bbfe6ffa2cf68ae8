# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/glossary.md has each word once, and code and documentation keep to it."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.docs import words
from tests.support.docs.pages import ROOT, rows, section

PAGE = "reference/glossary.md"
DOCUMENT = "docs/reference/openapi.json"
SUFFIXES = frozenset({".py", ".js", ".md", ".yaml", ".yml", ".sh", ".toml"})
FOREIGN = ("node_modules", "swagger", "vendor")
LISTS = {
    "CHANGELOG.md": "the names that users knew",
    "docs/reference/glossary.md": "the page that lists the words",
    "tests/bench/servers.py": "knows the flags of older revisions, which it compares with",
    "tests/docs/test_glossary.py": "says them to show that they are found",
    "tests/support/docs/words.py": "says how they are written",
}
"""Files in which the words stand, and why."""

SOURCE = '''
def reply_to(answers: list[Line]) -> None:  # those that wait in
    # line, and _RoomLeft
    """Send the answer of a question; :meth:`next_place` and ``Room`` know more."""
'''


def retired() -> list[str]:
    """Return the words that have another one in their stead."""
    table = rows(section(PAGE, "Words that are not used"))[1:]
    return [word for row in table for word in re.findall(r"`([^`]+)`", row[0])]


def paths() -> list[Path]:
    """Return the files that people write, and the document that is made of what they write."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return [
        ROOT / name
        for name in listed
        if (Path(name).suffix in SUFFIXES or name == DOCUMENT)
        and not set(FOREIGN) & set(Path(name).parts)
        and name not in LISTS
        and (ROOT / name).exists()
    ]


@cache
def texts() -> dict[str, words.Text]:
    """Return what each file says, by its path; read once for all words."""
    return {path.relative_to(ROOT).as_posix(): words.read(path) for path in paths()}


@pytest.mark.parametrize("word", retired())
def test_a_retired_word_is_not_used(word: str) -> None:
    found = {path: uses for path, text in texts().items() if (uses := words.uses_of(word, text))}
    assert not found


def test_all_kinds_of_files_are_read() -> None:
    parts = ("modeld/values.py", "docs/index.md", "README.md", "static/logic/generation.js")
    for part in (
        *parts,
        DOCUMENT,
        "tests/conftest.py",
        "scripts/hygiene.py",
        "prometheus/alerts.yaml",
    ):
        assert [path for path in texts() if path.endswith(part)]


@pytest.mark.parametrize(
    ("word", "uses"),
    [
        ("reply", ["reply_to"]),
        ("Line", ["Line"]),
        ("Room", ["Room"]),
        ("_place_", ["next_place"]),
        ("_guess_", []),
        ("spare", []),
    ],
)
def test_a_word_is_found_in_the_names_of_python(word: str, uses: list[str]) -> None:
    assert words.uses_of(word, words.of_python(SOURCE)) == uses


@pytest.mark.parametrize("word", ["wait in line", "an answer", "a question"])
def test_a_word_is_found_in_comments_and_docstrings(word: str) -> None:
    assert any(" " in use for use in words.uses_of(word, words.of_python(SOURCE)))


def test_the_name_of_a_test_is_read_as_a_sentence() -> None:
    text = words.of_python("def test_a_server_answers_in_place_of_another(): ...")
    assert not words.uses_of("an answer", text) + words.uses_of("_place_", text)
    assert words.uses_of("an answer", words.of_python("def test_it_has_an_answer(): ..."))


@pytest.mark.parametrize("word", retired())
def test_each_retired_word_would_be_found(word: str) -> None:
    name = f"has_{word.strip('_')}" if word.startswith("_") else word
    assert words.uses_of(word, words.of_text(f"It is said here: {word}, `{name}`."))
    if " " not in word:
        assert words.uses_of(word, words.of_python(f"{name} = 1\n"))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("an answer", "A server that answers, and models that answer; who has answered"),
        ("an answer", "const isAnswered = true; // it answers in one line"),
        ("_place_", "one takes the place of another, in place"),
        ("wait in line", "the fault in line 3"),
        ("Line", "Line 3 of const aLine = 1;"),
        ("Room", "Room for two. make_room"),
        ("reply", "replying"),
        ("spare", "sparse"),
    ],
)
def test_everyday_english_is_allowed(word: str, text: str) -> None:
    assert not words.uses_of(word, words.of_text(text))


def test_a_word_is_found_in_the_names_and_comments_of_javascript() -> None:
    text = words.of_text("let place = 1; const lastAnswer = f(x); // a reply")
    assert words.uses_of("_place_", text) == ["place"]
    assert words.uses_of("an answer", text) == ["lastAnswer"]
    assert len(words.uses_of("reply", text)) == 1


def test_every_word_is_defined_once() -> None:
    defined = [row[0] for row in rows(section(PAGE, "Glossary"))]
    assert len(defined) > 60
    assert sorted(set(defined) - {"word"}) == sorted(word for word in defined if word != "word")
