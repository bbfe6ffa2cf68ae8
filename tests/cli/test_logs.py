# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.cli.logs import ConsoleFormatter, JsonFormatter, configure
from modeld.settings import Settings

LEVELS = ["debug", "info", "warning", "error", "critical"]


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "modeld.x", "levelno": 20, "levelname": "INFO"})
    made.msg = message
    vars(made).update(fields)
    return made


def fail(message: str) -> None:
    raise ValueError(message)


def with_error(message: str) -> logging.LogRecord:
    try:
        fail(message)
    except ValueError:
        return record("it failed", exc_info=sys.exc_info())


def levels_heard(settings: Settings, logger: str) -> list[str]:
    stream = io.StringIO()
    configure(settings, stream)
    for level in LEVELS:
        logging.getLogger(logger).log(getattr(logging, level.upper()), "heard %s", level)
    return [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("level", "ours", "others"),
    [
        ("off", [], []),
        ("error", LEVELS[3:], LEVELS[3:]),
        ("info", LEVELS[1:], LEVELS[2:]),
        ("debug", LEVELS, LEVELS[1:]),
    ],
)
def test_the_level_says_what_is_heard(level, ours, others):
    settings = Settings(log_level=level)
    assert levels_heard(settings, "modeld.pool") == ours
    assert levels_heard(settings, "uvicorn.error") == others


def test_a_record_of_a_request_with_its_own_level_is_written():
    stream = io.StringIO()
    configure(Settings(log_level="off"), stream)
    logging.getLogger("modeld.access").handle(record("asked for"))
    assert stream.getvalue().endswith("info modeld.x: asked for\n")


def test_configuring_twice_writes_once():
    stream = io.StringIO()
    configure(Settings(), io.StringIO())
    configure(Settings(), stream)
    logging.getLogger("modeld").info("once")
    assert stream.getvalue().count("once") == 1


def test_warnings_of_python_go_to_the_log():
    stream = io.StringIO()
    configure(Settings(), stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in stream.getvalue()


def test_a_console_line_has_time_level_logger_and_message():
    line = ConsoleFormatter().format(record("GET /models 200"))
    assert line.endswith(" info modeld.x: GET /models 200")
    assert len(line.split(" ")[0]) == len("2026-11-22")


def test_a_json_line_has_the_events_own_fields():
    line = JsonFormatter().format(
        record("GET /models 200", status=200, request_id="r-1", model="", created=0.25)
    )
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "modeld.x",
        "message": "GET /models 200",
        "status": 200,
        "request_id": "r-1",
        "model": "",
    }


def test_a_field_cannot_take_the_place_of_the_level():
    line = JsonFormatter().format(record("m", level="critical", logger="other", time=0))
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("info", "modeld.x")


def test_a_field_of_any_type_is_written():
    line = JsonFormatter().format(record("m", path=io, number=float("nan"), error=OSError("x")))
    found = json.loads(line)
    assert found["number"] is None
    assert found["error"] == "x"


def test_a_traceback_is_a_field_in_json_and_marked_lines_on_the_console():
    event = with_error("broken\nmodeld forged line")
    found = json.loads(JsonFormatter().format(event))
    assert "ValueError: broken\nmodeld forged line" in found["traceback"]
    first, *rest = ConsoleFormatter().format(event).split("\n")
    assert first.endswith("it failed")
    assert len(rest) > 2
    assert all(line.startswith("  | ") for line in rest)


def test_a_stack_is_written_too():
    assert json.loads(JsonFormatter().format(record("m", stack_info="Stack:")))["traceback"] == (
        "Stack:"
    )


@given(st.text(), st.text(st.characters(exclude_categories=[])))
def test_one_event_is_one_line_of_json_whatever_it_says(message, field):
    line = JsonFormatter().format(record(message.replace("%", ""), field=field))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    try:
        field.encode()
    except UnicodeEncodeError:
        assert isinstance(found["field"], str)
    else:
        assert found["field"] == field
        assert found["message"] == message.replace("%", "")


@given(st.text())
def test_one_event_is_one_line_on_the_console_whatever_it_says(message):
    line = ConsoleFormatter().format(record(message.replace("%", "")))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


WITHOUT_FILES = """
import logging, os, resource, sys
from modeld.cli.logs import configure
from modeld.settings import Settings
configure(Settings(log_format=sys.argv[1]), sys.stderr)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
log = logging.getLogger("modeld.x")
try:
    open("/dev/null")
except OSError:
    log.exception("no file \\u202e \\udcff \\x1b can be opened", extra={"at": "\\u2028"})
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_line_is_written_where_no_file_can_be_opened_any_more(log_format: str) -> None:
    """A codec is a module, and a module is a file."""
    written = subprocess.run(
        [sys.executable, "-c", WITHOUT_FILES, log_format],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr
    assert "Logging error" not in written
    assert "can be opened" in written
    assert "Too many open files" in written
