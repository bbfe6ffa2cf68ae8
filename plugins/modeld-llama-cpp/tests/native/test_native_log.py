# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import threading

import llama_cpp
import pytest
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.native_log import LogLine

DEBUG, INFO, WARN, ERROR, CONTINUED = 1, 2, 3, 4, 5


def log(level: int, text: str) -> None:
    native_log._on_text(level, text.encode(), None)


def test_warnings_and_errors_are_written_and_the_rest_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for level, text in ((DEBUG, "d\n"), (INFO, "i\n"), (WARN, "w\n"), (ERROR, "e\n")):
        log(level, text)
    assert capsys.readouterr().err == "w\ne\n"


def test_a_load_can_read_along_from_level_info_on() -> None:
    with native_log.captured() as lines:
        log(DEBUG, "d")
        log(INFO, "i")
        log(CONTINUED, "more")
        log(ERROR, "e")
    log(ERROR, "later")
    assert lines == [LogLine(INFO, "i"), LogLine(INFO, "more"), LogLine(ERROR, "e")]
    assert [line.is_error for line in lines] == [False, False, True]


def test_what_is_withheld_is_only_written_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    with native_log.Withheld() as lines:
        log(ERROR, "e\n")
    assert capsys.readouterr().err == ""
    native_log.write(lines[0])
    assert capsys.readouterr().err == "e\n"


def test_one_threads_lines_are_not_anothers(capsys: pytest.CaptureFixture[str]) -> None:
    with native_log.Withheld() as lines:
        thread = threading.Thread(target=log, args=(WARN, "other\n"))
        thread.start()
        thread.join()
    assert lines == []
    assert capsys.readouterr().err == "other\n"


def test_llama_cpp_logs_to_us(capsys: pytest.CaptureFixture[str]) -> None:
    native_log.install()
    params = llama_cpp.llama_model_default_params()
    with native_log.Withheld() as lines:
        assert not llama_cpp.llama_model_load_from_file(b"/nowhere.gguf", params)
    assert "/nowhere.gguf" in "".join(line.text for line in lines)
    assert capsys.readouterr().err == ""
