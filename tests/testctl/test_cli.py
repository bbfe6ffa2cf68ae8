# SPDX-License-Identifier: GPL-3.0-only
"""The verbs: what they run, what they say, how they end."""

from __future__ import annotations

import signal

import pytest
from testctl.cli import cli


def last_lines(capsys, count):
    return capsys.readouterr().out.splitlines()[-count:]


@pytest.mark.parametrize("arguments", [(), ("test",), ("bake",), ("test", "bake")])
def test_what_is_no_verb_is_wrong_usage(testctl, arguments, capsys):
    assert testctl(*arguments) == 2
    assert "Usage: python scripts/testctl" in capsys.readouterr().err
    assert not testctl.commands


@pytest.mark.parametrize(
    "arguments",
    [
        ("install", "go"),
        ("test", "web", "live:host"),
        ("test", "all"),
        ("test", "unit", "-k", "without dashes before it"),
        ("poll-url", "http://127.0.0.1:1", "--status", "7"),
        ("poll-url", "127.0.0.1:1"),
        ("poll-url", "http://"),
    ],
)
def test_wrong_arguments_end_with_2_and_run_nothing(testctl, arguments):
    assert testctl(*arguments) == 2
    assert not testctl.commands


def every_verb(command=cli, words=()):
    yield words
    for name, each in getattr(command, "commands", {}).items():
        yield from every_verb(each, (*words, name))


@pytest.mark.parametrize("words", list(every_verb()), ids=" ".join)
def test_every_verb_has_help(testctl, words, capsys):
    assert testctl(*words, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: python scripts/testctl {' '.join(words)}".strip())
    assert not testctl.commands


def test_installing_all_brings_python_packages_models_and_node_packages(testctl):
    assert testctl("install", "all") == 0
    assert testctl.commands == [
        "python3 scripts/bootstrap.py dev",
        "python3 scripts/bootstrap.py models",
        "sh scripts/js.sh install",
    ]


def test_installing_one_part_leaves_the_other(testctl):
    assert testctl("install", "js") == 0
    assert testctl.commands == ["sh scripts/js.sh install"]


def test_a_part_that_cannot_be_installed_is_a_failure(testctl, capsys):
    testctl.codes["js.sh"] = 1
    assert testctl("install", "all") == 1
    assert last_lines(capsys, 1) == ["suites: 2 passed, 1 failed"]


def test_the_unit_suite_starts_no_server_and_no_browser(testctl):
    assert testctl("test", "unit") == 0
    (command,) = testctl.commands
    assert "-m pytest tests plugins/" in command
    for folder in ("tests/blackbox", "tests/faults", "tests/browser"):
        assert f"--ignore={folder}" in command
    assert "-m not debian and not browser" in command


@pytest.mark.parametrize("suite", ["unit", "blackbox", "faults"])
def test_what_follows_two_dashes_goes_to_pytest_last(testctl, suite):
    assert testctl("test", suite, "--", "-k", "some thing", "-x") == 0
    assert testctl.commands[0].endswith("-k some thing -x")


def test_everything_runs_every_suite_once_and_goes_on_after_a_failure(testctl, capsys):
    # The unit suite, known by --ignore, names the other folders too.
    testctl.codes = {"--ignore": 0, "tests/blackbox": 1, "tests/faults": 5}
    assert testctl("test", "all", "auto", "--", "-x") == 1
    assert len(testctl.commands) == 5
    assert [command.endswith(" -x") for command in testctl.commands] == [True] * 3 + [False, True]
    rows = [line.split() for line in last_lines(capsys, 6)]
    assert [row[:2] for row in rows[:3]] == [
        ["unit", "passed"],
        ["blackbox", "FAILED"],
        ["faults", "FAILED"],
    ]
    assert rows[1][4:] == ["exit", "code", "1"]
    assert rows[2][4:] == ["no", "test", "was", "selected"]
    assert rows[4][:3] == ["web", "mock", "passed"]
    assert rows[5] == ["suites:", "3", "passed,", "2", "failed"]


def test_the_summary_says_how_long_each_suite_took(testctl, capsys):
    assert testctl("test", "js") == 0
    name, word, seconds, unit = last_lines(capsys, 2)[0].split()
    assert (name, word, unit) == ("js", "passed", "s")
    assert float(seconds) >= 0


def test_a_program_that_is_missing_is_a_failure_of_its_suite(testctl, capsys):
    testctl.codes["js.sh"] = FileNotFoundError(2, "No such file or directory", "sh")
    assert testctl("test", "js") == 1
    assert "FAILED" in last_lines(capsys, 2)[0]


def test_control_c_ends_with_130_and_still_sums_up_what_was_done(testctl, capsys):
    testctl.codes = {"--ignore": 0, "tests/blackbox": KeyboardInterrupt()}
    assert testctl("test", "all", "auto") == 130
    told = capsys.readouterr()
    assert "suites: 1 passed, 0 failed" in told.out
    assert told.err.endswith("testctl: interrupted\n")
    assert len(testctl.commands) == 2


def test_sigterm_is_an_interrupt_and_the_handler_goes_afterwards(testctl):
    before = signal.getsignal(signal.SIGTERM)

    def told_to_end(command, env=None):
        signal.raise_signal(signal.SIGTERM)

    testctl.run = told_to_end
    assert testctl("test", "js") == 130
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_url_that_answers_at_last_is_a_success(testctl, capsys):
    testctl.heard = ["connection refused", 503, 200]
    assert testctl("poll-url", "http://127.0.0.1:1/readyz", "--interval-s", "0.001") == 0
    assert "http://127.0.0.1:1/readyz answered with status 200" in capsys.readouterr().out


def test_a_url_that_never_answers_is_a_failure_that_says_what_was_heard(testctl, capsys):
    testctl.heard = [503]
    assert testctl("poll-url", "http://127.0.0.1:1/readyz", "--timeout-s", "0") == 1
    told = capsys.readouterr().err
    assert "did not answer with status 200 within 0 s (1 attempts); the last: status 503" in told
