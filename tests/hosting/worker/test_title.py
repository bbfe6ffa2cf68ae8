# SPDX-License-Identifier: GPL-3.0-only
"""What a worker is called where processes are listed."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, pathlib
from modeld.hosting.worker.main import set_title
set_title(sys.argv[1].encode().decode("unicode_escape"))
own = pathlib.Path("/proc/self")
print(ascii((own / "cmdline").read_bytes().rstrip(bytes(1))), (own / "comm").read_text().strip())
print(sys.argv[1], pathlib.Path("/proc/self/environ").read_bytes().count(b"MARK=here"))
"""


def listed(title: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, title],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": str(Path.cwd()), "MARK": "here"},
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("a.gguf", "modeld-worker a.gguf"),
        (r"a\nb\x00c\x1b[1m", r"modeld-worker a\\nb\\x00c\\x1b[1m"),
    ],
)
def test_the_title_is_what_others_see_in_one_line(title: str, shown: str) -> None:
    first, second = listed(title)
    assert first == f"b'{shown}' modeld-worker"
    assert second == f"{title} 1", "neither the arguments nor the environment have changed"


def test_a_long_title_is_cut_where_the_environment_begins() -> None:
    first, second = listed("x" * 30_000)
    assert first.startswith("b'modeld-worker xxx")
    assert second.endswith(" 1")
