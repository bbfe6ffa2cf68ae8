# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench`` as a command: what it takes, what it refuses, what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from modeld_bench.command import command

from modeld.cli.main import ExitCode, main
from modeld.settings import Settings
from tests.support.cli.terminal import modeld

pytestmark = pytest.mark.usefixtures("measured_processes")

NOBODY = "http://127.0.0.1:1"


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False
    )


def test_the_help_loads_neither_the_client_nor_the_drawing_library():
    code = (
        "import sys; from modeld.cli.main import main; main(['bench', '--help']);"
        " print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = python(code)
    assert not {"httpx", "matplotlib", "numpy", "starlette"} & set(done.stderr.split())
    assert "Examples:" in done.stdout


def test_a_picture_without_matplotlib_is_refused_with_what_brings_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None; from modeld.cli.main import main;"
        " sys.exit(main(sys.argv[1:]))"
    )
    done = python(code, "bench", NOBODY, "--plot", "run.html")
    assert done.returncode == ExitCode.USAGE
    assert "--plot needs the library matplotlib" in done.stderr
    assert "pip install modeld-bench[plot]" in done.stderr


def test_without_matplotlib_all_but_the_picture_is_there():
    code = (
        "import sys; sys.modules['matplotlib'] = None; from modeld.cli.main import main;"
        " sys.exit(main(sys.argv[1:]))"
    )
    assert "cannot reach" in python(code, "bench", NOBODY).stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["127.0.0.1:8080"], "is not a URL"),
        (["ftp://x"], "is not a URL"),
        (["http://"], "is not a URL"),
        (["http://x:port"], "is not a URL"),
        (["http://a b"], "is not a URL"),
        (["http://me:secret@x"], "does not belong on a command line"),
        (["http://x?key=1"], "query"),
        (["--concurrency", ""], "not a list"),
        (["--concurrency", "1,x"], "not a list"),
        (["--concurrency", "0"], "from 1 to 256"),
        (["--concurrency", "1,257"], "from 1 to 256"),
        (["--concurrency", "4,4"], "no two alike"),
        (["--concurrency", ",".join(map(str, range(1, 18)))], "at most 16"),
        (["--requests", "0"], "--requests"),
        (["--requests", "10001"], "--requests"),
        (["--requests", "3", "--duration-s", "3"], "not both"),
        (["--duration-s", "0"], "--duration-s"),
        (["--duration-s", "nan"], "--duration-s"),
        (["--temperature", "nan"], "--temperature"),
        (["--timeout-s", "inf"], "--timeout-s"),
        (["--max-tokens", "0"], "--max-tokens"),
        (["--warmup", "101"], "--warmup"),
        (["--prompt", " "], "the prompt is empty"),
        (["--prompt", "x", "--prompt-tokens", "3"], "give one of"),
        (["--prompt", "x", "--shared-prefix", "3"], "not given ones"),
        (["--prompt-tokens", "9", "--shared-prefix", "9"], "leaves nothing of a prompt of 9"),
        (["--prompt-file", "none.txt"], "none.txt cannot be read"),
        (["--api", "grpc"], "--api"),
        (["--json", "none/run.json"], "there is no folder none"),
        (["--plot", "run.pdf"], ".html, .png, .svg"),
        (["--api-key-file", "none.key"], "none.key cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_wrong_usage(args, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *args]) == ExitCode.USAGE
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("content", [b"\xff", b"\n \n"])
def test_a_prompt_file_has_text_in_it(content, tmp_path, capsys):
    (tmp_path / "prompt").write_bytes(content)
    assert main(["bench", NOBODY, "--prompt-file", str(tmp_path / "prompt")]) == ExitCode.USAGE
    assert "prompt" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "# only this", "two words", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key, tmp_path, capsys):
    (tmp_path / "key").write_text(key)
    assert main(["bench", NOBODY, "--api-key-file", str(tmp_path / "key")]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "--api-key-file" in shown
    assert not key or key not in shown


def test_a_server_that_is_not_there_is_a_failure_that_says_so():
    done = modeld("bench", NOBODY)
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr == (
        f"modeld: error: cannot reach {NOBODY}: connection refused;"
        " is this where the server listens?\n"
    )


def test_the_default_url_is_where_modeld_serves_by_default():
    (url,) = [param for param in command.params if param.name == "url"]
    assert url.default == f"http://127.0.0.1{Settings().addr}"


def test_a_server_that_is_not_there_is_a_failure_without_asking_it_first_too():
    args = ("--api", "openai", "--model", "x", "--concurrency", "1", "--requests", "2")
    warmed = modeld("bench", NOBODY, *args)
    assert warmed.returncode == ExitCode.FAILED
    assert "a warm-up request to http://127.0.0.1:1 failed: cannot connect" in warmed.stderr
    cold = modeld("bench", NOBODY, *args, "--warmup", "0")
    assert cold.returncode == ExitCode.FAILED
    assert "2 failed: cannot connect (connection refused)" in cold.stdout
