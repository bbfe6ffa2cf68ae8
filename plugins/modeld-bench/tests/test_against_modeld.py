# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench`` against a modeld that really runs, with the rig as its backend."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_runs import Run, bench

from modeld.cli.main import ExitCode
from tests.support.cli.terminal import DEADLINE_S, Terminal, modeld
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, serving

CTRL_C = "\x03"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two models that the rig serves."""
    path = tmp_path_factory.mktemp("models")
    write_gguf(path / "a.gguf", "rig")
    write_gguf(path / "b.gguf", "rig")
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with serving(folder, "--default-model", "a.gguf") as served:
        yield served


def script(**plan: object) -> str:
    return json.dumps(plan)


def wait_for(file: Path, holds: threading.Event) -> None:
    """Touch ``file`` as soon as ``holds`` is set."""
    if holds.wait(DEADLINE_S):
        file.touch()


def test_what_the_model_thinks_is_counted_too(server):
    run = bench(server.url, "--prompt", script(tokens=5, thinks=3), "--requests", "1")
    assert (run.level["tokens"], run.level["pieces"]) == (5, 5)


def test_every_request_and_every_token_is_counted(server):
    run = bench(server.url, "--prompt", script(tokens=5), "--requests", "7", "--concurrency", "3")
    assert run.code == ExitCode.OK
    assert run.document["api"] == "modeld"
    level = run.level
    assert (level["requests"], level["answered"], level["failed"]) == (7, 7, 0)
    assert (level["tokens"], level["pieces"], level["counted"]) == (35, 35, 7)
    assert (level["first_token_s"]["count"], level["gap_s"]["count"]) == (7, 28)
    assert level["tokens_per_s"] == pytest.approx(35 / level["wall_s"])
    assert (level["concurrency"], level["complete"], level["unfinished"]) == (3, True, 0)


def test_each_level_has_its_own_requests(server):
    done = modeld(
        "bench",
        server.url,
        "--prompt",
        script(tokens=2),
        "--concurrency",
        "2,1",
        "--requests",
        "3",
    )
    assert done.returncode == ExitCode.OK
    assert re.search(r"^ +2 clients +1 client$", done.stdout, re.MULTILINE)
    assert re.search(r"^requests answered +3 +3$", done.stdout, re.MULTILINE)
    assert done.stderr == "warming up\n2 clients\n1 client\n"
    assert "note: all prompts were the same" in done.stdout


def test_made_prompts_and_the_longest_generation_reach_the_engine(server):
    run = bench(server.url, "--prompt-tokens", "20", "--max-tokens", "6", "--requests", "2")
    assert run.level["tokens"] == 12
    assert run.document["parameters"]["max_tokens"] == 6


def test_times_are_those_of_the_stream(server):
    """The rig waits before each token, so no gap and no response can be shorter."""
    run = bench(server.url, "--prompt", script(tokens=4, delay_s=0.05), "--requests", "2")
    assert run.level["gap_s"]["count"] == 6
    assert run.level["gap_s"]["p50"] >= 0.03
    assert run.level["total_s"]["least"] >= 0.1


def test_chat_prompts_are_sent_as_messages(server):
    run = bench(server.url, "--chat", "--prompt", "one two three", "--requests", "1")
    assert run.level["tokens"] == 3


def test_a_level_may_end_by_the_clock(server):
    run = bench(server.url, "--prompt", script(tokens=1), "--duration-s", "0.3")
    assert run.code == ExitCode.OK
    assert run.level["wall_s"] >= 0.25
    assert run.level["tokens"] == run.level["requests"] > 0
    assert run.document["parameters"]["requests"] is None


def test_requests_that_a_full_queue_refuses_are_counted_and_not_repeated(folder, tmp_path):
    gate, over = tmp_path / "gate", threading.Event()
    options = json.dumps({"*": {"slots": 1}})
    arguments = ("--default-model", "a.gguf", "--max-queue-depth", "2", "--models", options)
    with serving(folder, *arguments) as served:
        served.post("/models/a.gguf/load")
        opener = threading.Thread(target=wait_for, args=(gate, over))
        watcher = threading.Thread(target=_until_refused, args=(served, 5, over))
        opener.start()
        watcher.start()
        prompt = script(tokens=2, gate=str(gate))
        run = bench(served.url, "--prompt", prompt, "--requests", "8", "--concurrency", "8")
        watcher.join()
        opener.join()
    assert run.code == ExitCode.FAILED
    assert run.reasons == {"429 queue_full": 5}
    assert (run.level["answered"], run.level["tokens"]) == (3, 6)
    assert run.level["failures"][0]["retry_after_s"][0] >= 1
    assert "5 failed: 429 queue_full" in run.err


def _until_refused(served: Served, count: int, over: threading.Event) -> None:
    wanted = f'modeld_http_backpressure_total{{reason="queue_full"}} {float(count)}'
    deadline_s = time.monotonic() + DEADLINE_S
    while wanted not in served.get("/metrics").text and time.monotonic() < deadline_s:
        time.sleep(0.02)
    over.set()


def test_a_worker_that_dies_in_mid_stream_is_a_failure_with_its_reason(server):
    prompt = script(tokens=9, fault="SIGKILL", at=3)
    run = bench(server.url, "--prompt", prompt, "--requests", "1")
    assert run.code == ExitCode.FAILED
    assert run.reasons == {"error in the stream: worker_crashed": 1}
    assert run.level["tokens"] == 0


def test_an_unknown_model_ends_the_run_with_the_servers_words(server):
    done = modeld("bench", server.url, "--model", "none.gguf")
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert "404 model_not_found" in done.stderr
    assert "none.gguf" in done.stderr


def test_a_request_that_takes_too_long_is_given_up(server, tmp_path):
    prompt = script(tokens=1, gate=str(tmp_path / "never"))
    run = bench(server.url, "--prompt", prompt, "--requests", "1", "--timeout-s", "0.3")
    assert run.code == ExitCode.FAILED
    assert run.reasons == {"timeout": 1}


def test_a_server_with_keys_is_told_one_and_the_report_is_not(folder, tmp_path):
    (tmp_path / "keys").write_text("# for tests\nsesame\n")
    with serving(folder, "--api-key-file", str(tmp_path / "keys")) as served:
        without = modeld("bench", served.url, "--prompt", "hi")
        assert without.returncode == ExitCode.FAILED
        assert "answers 401: it wants a key; give it with --api-key-file" in without.stderr
        (tmp_path / "other").write_text("open\n")
        wrong = modeld("bench", served.url, "--api-key-file", str(tmp_path / "other"))
        assert "answers 401: it refuses the key that was given" in wrong.stderr
        args = ("--model", "a.gguf", "--prompt", "hi", "--requests", "1")
        run = bench(served.url, "--api-key-file", str(tmp_path / "keys"), *args)
    assert run.code == ExitCode.OK
    assert "sesame" not in json.dumps(run.document) + run.err


def test_the_key_may_come_from_the_environment(folder, tmp_path, monkeypatch):
    (tmp_path / "keys").write_text("sesame\n")
    monkeypatch.setenv("MODELD_BENCH_API_KEY", "sesame")
    with serving(folder, "--api-key-file", str(tmp_path / "keys")) as served:
        run: Run = bench(served.url, "--model", "a.gguf", "--prompt", "hi", "--requests", "1")
    assert run.code == ExitCode.OK


def test_files_are_written_and_quiet_shows_no_progress(server, tmp_path):
    args = ("--prompt", script(tokens=2), "--concurrency", "1,2", "--requests", "2")
    document, page = tmp_path / "run.json", tmp_path / "run.html"
    done = modeld(
        "bench", server.url, *args, "--json", str(document), "--plot", str(page), "--quiet"
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert len(json.loads(document.read_text())["levels"]) == 2
    assert "<svg" in page.read_text()


def test_a_bar_on_a_terminal_goes_to_its_end(server):
    args = ("--prompt", script(tokens=2), "--concurrency", "2", "--requests", "2")
    with Terminal("bench", server.url, *args) as terminal:
        terminal.wait_for("warming up")
        terminal.wait_for("100%")
        terminal.wait_for("2 clients")
        terminal.wait_for("100%")
        terminal.wait_for("tokens/s")
        assert terminal.wait() == ExitCode.OK


def test_ctrl_c_before_anything_was_measured_says_so(server, tmp_path):
    prompt = script(tokens=1, gate=str(tmp_path / "never"))
    with Terminal("bench", server.url, "--prompt", prompt, "--plot", "run.html") as terminal:
        terminal.wait_for("warming up")
        terminal.type(CTRL_C)
        terminal.wait_for("nothing was measured")
        assert terminal.wait() == ExitCode.INTERRUPTED
