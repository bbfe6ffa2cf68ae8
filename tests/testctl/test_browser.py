# SPDX-License-Identifier: GPL-3.0-only
"""The tests in a browser: mocked or live, on a server of their own, with its log on failure."""

from __future__ import annotations

import shutil

import pytest


def test_with_models_on_the_host_auto_is_live_with_the_smallest_of_them(testctl, models, capsys):
    assert testctl("test", "web", "auto", "--models-dir", str(models)) == 0
    assert testctl.served == [(models, "b.gguf")]
    assert testctl.environs == [
        {
            "MODELD_BROWSER_URL": "http://127.0.0.1:4711",
            "MODELD_BROWSER_MODE": "live",
            "MODELD_BROWSER_MODELS": str(models),
        }
    ]
    assert f"web auto: 2 models in {models}, so live" in capsys.readouterr().out
    assert "pytest tests/browser -m browser" in testctl.commands[0]


def test_without_models_on_the_host_auto_is_mock_on_an_empty_folder(testctl, capsys):
    assert testctl("test", "web", "auto") == 0
    ((folder, default),) = testctl.served
    assert default is None
    assert not folder.exists(), "the empty folder is gone afterwards"
    assert testctl.environs[0]["MODELD_BROWSER_MODE"] == "mock"
    assert "0 models in" in capsys.readouterr().out


def test_live_without_models_is_an_error_that_says_what_to_do_and_mocks_nothing(testctl, capsys):
    assert testctl("test", "web", "live") == 1
    assert not testctl.served
    assert not testctl.commands
    told = capsys.readouterr().err
    assert "run `make models`" in told
    assert str(testctl.home / "models" / "llm") in told


@pytest.mark.parametrize("verb", [("web", "auto"), ("web", "live"), ("all", "auto")])
def test_a_failure_in_live_mode_is_not_repeated_in_mock_mode(testctl, models, verb):
    testctl.codes = {"tests/browser -m": 1}
    assert testctl("test", *verb, "--models-dir", str(models)) == 1
    assert [default for _, default in testctl.served] == ["b.gguf"]


def test_mock_is_mock_also_where_there_are_models(testctl, models):
    assert testctl("test", "web", "mock", "--models-dir", str(models)) == 0
    ((folder, default),) = testctl.served
    assert (folder == models, default) == (False, None)


def test_the_variable_names_the_folder_and_the_option_wins(testctl, models, tmp_path):
    other = shutil.copytree(models, tmp_path / "other")
    assert testctl("test", "web", "auto", MODELD_TEST_MODELS=str(other)) == 0
    words = ("test", "web", "auto", "--models-dir", str(models))
    assert testctl(*words, MODELD_TEST_MODELS=str(other)) == 0
    assert [folder for folder, _ in testctl.served] == [other, models]


def test_the_usual_folder_of_the_host_is_looked_at(testctl, models):
    shutil.copytree(models, testctl.home / "models" / "llm")
    assert testctl("test", "web", "live") == 0
    assert testctl.served == [(testctl.home / "models" / "llm", "b.gguf")]


@pytest.mark.parametrize("name", ["mmproj-x.gguf", "x-00002-of-00002.gguf", "x.bin"])
def test_a_file_that_answers_nothing_by_itself_is_no_model(testctl, tmp_path, name):
    (tmp_path / name).write_bytes(b"GGUF")
    assert testctl("test", "web", "live", "--models-dir", str(tmp_path)) == 1


def test_the_first_part_of_a_model_is_one(testctl, tmp_path):
    (tmp_path / "x-00001-of-00002.gguf").write_bytes(b"GGUF")
    assert testctl("test", "web", "live", "--models-dir", str(tmp_path)) == 0


def test_the_servers_log_is_kept_when_a_test_failed(testctl, capsys):
    testctl.codes["tests/browser"] = 1
    assert testctl("test", "web", "mock") == 1
    assert testctl.logs[0].read_text() == "what the server said\n"
    row = capsys.readouterr().out.splitlines()[-2]
    assert row.endswith("exit code 1; the server's log is tests/artifacts/server-mock.log")


def test_no_log_is_left_when_all_passed(testctl):
    assert testctl("test", "web", "mock") == 0
    assert not testctl.logs[0].exists()


def test_tests_that_passed_on_a_server_that_fell_over_have_failed(testctl, capsys):
    testctl.server_fails = "the server ended with exit code 70"
    assert testctl("test", "web", "mock") == 1
    assert "the server ended with exit code 70" in capsys.readouterr().out
    assert testctl.logs[0].exists()
