# SPDX-License-Identifier: GPL-3.0-only
"""What a person reads of the findings."""

from __future__ import annotations

from modeld.cli.commands.doctor import as_text
from modeld.doctor.report import Group, counts, error, ok, warning

GROUPS = [
    Group("memory", [ok("main", "plenty"), warning("swap", "in use", "buy more", used=1)]),
    Group("nothing"),
    Group("plugins", [error("bad\x1b[2J", "it broke\nhere", "mend it")]),
]


def test_people_read_the_level_the_message_and_the_fix():
    assert as_text(GROUPS, counts(GROUPS)).splitlines() == [
        "\x1b[1mmemory\x1b[0m",
        "  \x1b[32mok\x1b[0m       main: plenty",
        "  \x1b[33mwarning\x1b[0m  swap: in use",
        "           \x1b[1mfix:\x1b[0m buy more",
        "",
        "\x1b[1mplugins\x1b[0m",
        "  \x1b[31merror\x1b[0m    bad\\x1b[2J: it broke\\nhere",
        "           \x1b[1mfix:\x1b[0m mend it",
        "",
        "1 error, 1 warning, 1 ok",
    ]


def test_long_text_is_wrapped_between_words_and_paths_stay_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    path = "/a/very-long/" + 40 * "x"
    groups = [Group("g", [warning("s", "word " * 20, f"rm {path}")])]
    lines = as_text(groups, counts(groups)).splitlines()
    assert max(len(line) for line in lines if "word" in line) <= 50 + len("\x1b[33m\x1b[0m")
    assert any(line.endswith(path) for line in lines)
