# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from modeld.cli.commands.run.command import _where
from modeld.cli.main import ExitCode
from tests.support.cli.terminal import DEADLINE_S, Terminal, modeld
from tests.support.gguf.gguf_corpus import write_model

CTRL_C = "\x03"
CTRL_D = "\x04"

pytestmark = [pytest.mark.usefixtures("rig"), pytest.mark.usefixtures("measured_processes")]


def run(models: Path, *args: str, stdin: str | bytes = "") -> tuple[int, str, str]:
    done = modeld("run", "tiny.gguf", *args, "--models-dir", str(models), stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def script(**plan: object) -> str:
    return json.dumps(plan)


def test_the_generation_goes_to_standard_output_and_nothing_else_does(models):
    assert run(models, "one two three") == (0, "one two three \n", "loading tiny.gguf\n")


def test_what_the_model_thinks_goes_to_standard_error(models):
    code, out, err = run(models, script(tokens=4, thinks=2))
    assert (code, out) == (0, "t2 t3 \n")
    assert err == "loading tiny.gguf\nt0 t1 \n\n"


def test_the_prompt_may_come_from_a_pipe(models):
    assert run(models, stdin="from a pipe\n")[:2] == (0, "from a pipe \n")


def test_a_path_is_as_good_as_an_id(models, tmp_path):
    done = modeld("run", str(models / "tiny.gguf"), "hello")
    assert (done.returncode, done.stdout) == (0, "hello \n")
    link = tmp_path / "link.gguf"
    link.symlink_to(models / "tiny.gguf")
    assert modeld("run", str(link), "hello").stdout == "hello \n"


def test_the_folder_of_a_server_is_left_alone():
    found = _where("tiny.gguf", {"session_folder": "/of/a/server"})[1]
    assert (found.session_folder, found.session_quota_mb) == ("", 0)


def test_options_reach_the_engine(models):
    assert run(models, "one two three", "--max-tokens", "2")[1] == "one two \n"
    code, _, err = run(models, script(refuse="no such luck"))
    assert code == ExitCode.FAILED
    assert "modeld: error: no such luck\n" in err


def test_instructions_and_prompt_are_sent_as_messages(models):
    assert run(models, "hello", "--system", "be brief")[1] == "be brief hello \n"
    assert run(models, "hello", "--chat")[1] == "hello \n"


@pytest.mark.parametrize(
    "args",
    [
        ("--temperature", "nan"),
        ("--temperature", "-1"),
        ("--top-p", "inf"),
        ("--max-tokens", "0"),
        ("--max-tokens", str(2**31 + 1)),
        ("--seed", "-2"),
        ("--json-schema", "{"),
        ("--grammar-file", "none.gbnf"),
        ("--engine-host", "moon"),
    ],
)
def test_a_number_out_of_range_is_wrong_usage(args, models):
    code, out, err = run(models, "hello", *args)
    assert (code, out) == (ExitCode.USAGE, "")
    assert args[0] in err


@pytest.mark.parametrize("stdin", ["", "\n", " \n"])
def test_an_empty_prompt_is_wrong_usage(stdin, models):
    code, out, err = run(models, stdin=stdin)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "the prompt is empty" in err


def test_a_prompt_that_is_not_utf_8_is_wrong_usage(models):
    code, _, err = run(models, stdin=b"caf\xe9")
    assert code == ExitCode.USAGE
    assert "not UTF-8" in err


def test_a_path_without_a_file_is_wrong_usage(models):
    done = modeld("run", str(models / "none.gguf"), "hello")
    assert done.returncode == ExitCode.USAGE
    assert f"there is no file {models}/none.gguf" in done.stderr


def test_an_unknown_model_is_an_error_with_the_nearest_one(models):
    done = modeld("run", "tinny.gguf", "hello", "--models-dir", str(models))
    assert done.returncode == ExitCode.FAILED
    assert "modeld: error: there is no model 'tinny.gguf'; did you mean" in done.stderr


def test_a_file_that_cannot_be_used_is_an_error_that_says_why(models):
    done = modeld("run", str(models / "empty.gguf"), "hello")
    assert done.returncode == ExitCode.FAILED
    assert "the file is empty" in done.stderr


def test_a_worker_that_dies_leaves_what_it_said_and_an_error(models):
    code, out, err = run(models, script(tokens=5, fault="SIGKILL", at=2))
    assert (code, out) == (ExitCode.FAILED, "t0 t1 \n")
    assert "SIGKILL" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("modeld: error: ")


def test_wrong_settings_are_wrong_usage(models, monkeypatch):
    monkeypatch.setenv("MODELD_WARM_WORKERS", "99")
    assert run(models, "hello")[0] == ExitCode.USAGE


def test_a_load_is_drawn_as_a_bar_on_a_terminal(models):
    with Terminal("run", str(models / "tiny.gguf"), "hello there") as terminal:
        terminal.wait_for("loading tiny.gguf")
        terminal.wait_for("100%")
        terminal.wait_for("hello there")
        assert terminal.wait() == ExitCode.OK


def test_a_model_cannot_clear_the_terminal(models):
    with Terminal("run", str(models / "tiny.gguf"), "x\x1b[2Jy") as terminal:
        terminal.wait_for(r"x\x1b[2Jy")
        assert terminal.wait() == ExitCode.OK
    assert modeld("run", str(models / "tiny.gguf"), "x\x1b[2Jy").stdout == "x\x1b[2Jy \n"


def test_a_chat_remembers_what_was_said_until_it_is_cleared(models):
    with Terminal("run", str(models / "tiny.gguf")) as terminal:
        terminal.wait_for("> ")
        terminal.type("hello\n")
        terminal.wait_for("hello \r\n> ")
        terminal.type("again\n")
        terminal.wait_for("hello hello again \r\n> ")
        terminal.type("/clear\n")
        terminal.wait_for("> ")
        terminal.type("anew\n")
        terminal.wait_for("\r\nanew \r\n> ")
        terminal.type("\n")
        terminal.wait_for("> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == ExitCode.OK


def test_instructions_stay_when_a_chat_is_cleared(models):
    with Terminal("run", str(models / "tiny.gguf"), "--system", "be brief") as terminal:
        terminal.wait_for("> ")
        terminal.type("/clear\n")
        terminal.wait_for("> ")
        terminal.type("hello\n")
        terminal.wait_for("be brief hello \r\n> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == ExitCode.OK


def test_an_error_in_a_chat_is_shown_and_forgotten(models):
    with Terminal("run", str(models / "tiny.gguf")) as terminal:
        terminal.wait_for("> ")
        terminal.type(script(refuse="not today") + "\n")
        terminal.wait_for("error: not today\r\n> ")
        terminal.type("hello\n")
        terminal.wait_for("\r\nhello \r\n> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == ExitCode.OK


def test_ctrl_c_stops_a_generation_and_then_the_chat(models, tmp_path):
    gate = tmp_path / "gate"
    with Terminal("run", str(models / "tiny.gguf")) as terminal:
        terminal.wait_for("> ")
        terminal.type(script(tokens=9, gate=str(gate), gate_at=2) + "\n")
        terminal.wait_for("t0 t1 ")
        terminal.type(CTRL_C)
        terminal.wait_for("(stopped)\r\n> ")
        terminal.type("/clear\n")
        terminal.wait_for("> ")
        terminal.type("hello\n")
        terminal.wait_for("\r\nhello \r\n> ")
        terminal.type_until_over(CTRL_C)
        assert terminal.wait() == ExitCode.INTERRUPTED
        assert "Traceback" not in terminal.shown


def test_ctrl_c_ends_a_single_generation_and_its_worker(models, tmp_path):
    plan = script(tokens=9, gate=str(tmp_path / "gate"), gate_at=2)
    with Terminal("run", str(models / "tiny.gguf"), plan) as terminal:
        terminal.wait_for("t0 t1 ")
        workers = psutil.Process(terminal.process.pid).children(recursive=True)
        assert workers
        terminal.type(CTRL_C)
        assert terminal.wait() == ExitCode.INTERRUPTED
        assert "Traceback" not in terminal.shown
    _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
    assert not alive


def test_an_option_that_the_backend_does_not_have_is_wrong_usage(models):
    code, out, err = run(models, "hello", "--models", '{"tiny*": {"slotz": 3}}')
    assert (code, out) == (ExitCode.USAGE, "")
    assert "slotz" in err.splitlines()[-1]
    assert "did you mean 'slots'?" in err.splitlines()[-1]


def test_ctrl_c_while_a_model_loads_ends_the_command_and_the_worker(models, tmp_path):
    rows = json.dumps({"*": {"load_gate": str(tmp_path / "gate")}})
    with Terminal("run", str(models / "tiny.gguf"), "hello", "--models", rows) as terminal:
        terminal.wait_for(" 60%")
        workers = psutil.Process(terminal.process.pid).children(recursive=True)
        assert workers
        terminal.type(CTRL_C)
        assert terminal.wait() == ExitCode.INTERRUPTED
        assert "Traceback" not in terminal.shown
    _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
    assert not alive


def test_a_generation_that_is_stopped_is_stopped_in_the_engine(models, tmp_path):
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    rows = json.dumps({"*": {"journal": str(journal)}})
    plan = script(tokens=9, gate=str(gate), gate_at=2, nonce="n1")
    with Terminal("run", str(models / "tiny.gguf"), "--models", rows) as terminal:
        terminal.wait_for("> ")
        terminal.type(plan + "\n")
        terminal.wait_for("t0 t1 ")
        terminal.type(CTRL_C)
        terminal.wait_for("(stopped)\r\n> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == ExitCode.OK
    assert "cancel n1" in journal.read_text().splitlines()


def test_without_a_model_the_only_usable_one_answers(models):
    done = modeld("run", "--models-dir", str(models), stdin="from a pipe")
    assert (done.returncode, done.stdout) == (0, "from a pipe \n")
    assert done.stderr == "loading tiny.gguf\n"


def test_without_a_model_and_with_several_to_choose_from_they_are_named(models):
    write_model(models / "other.gguf", architecture="rig")
    done = modeld("run", "--models-dir", str(models), stdin="from a pipe")
    assert done.returncode == ExitCode.FAILED
    assert "2 models can be used: 'other.gguf', 'tiny.gguf'" in done.stderr


def test_no_load_is_announced_for_a_model_that_is_not_there(models):
    done = modeld("run", "tinny.gguf", "hello", "--models-dir", str(models))
    assert "there is no model 'tinny.gguf'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("level", [(), ("--log-level", "error")])
def test_a_load_that_fails_is_told_once(level, models):
    options = json.dumps({"tiny.gguf": {"load_fault": "invalid no such luck"}})
    code, out, err = run(models, "hello", "--models", options, *level)
    assert (code, out) == (ExitCode.FAILED, "")
    assert err.count("no such luck") == 1


def test_a_worker_that_dies_is_told_once(models):
    err = run(models, script(tokens=5, fault="SIGKILL", at=2))[2]
    assert err.count("SIGKILL") == 1


def test_a_model_that_is_larger_than_the_memory_is_refused_at_once(models):
    options = json.dumps({"tiny.gguf": {"estimate_mb": 1 << 30}})
    code, out, err = run(models, "hello", "--models", options)
    assert (code, out) == (ExitCode.FAILED, "")
    assert f"model 'tiny.gguf' needs {1 << 30} MiB, and this machine has " in err
    assert err.count("\n") == 1
