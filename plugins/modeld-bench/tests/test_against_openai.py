# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench`` against a server with an API like OpenAI's."""

from __future__ import annotations

import json

import pytest
from bench_runs import bench
from fake_openai import LENGTH, FakeOpenAI, running

from modeld.cli.main import ExitCode
from tests.support.cli.terminal import DEADLINE_S, Terminal, modeld

CTRL_C = "\x03"


def test_tokens_are_those_that_the_server_has_counted():
    fake = FakeOpenAI()
    with running(fake) as url:
        run = bench(url, "--requests", "3")
    assert run.code == ExitCode.OK
    assert (run.document["api"], run.document["model"]) == ("openai", "m")
    level = run.level
    assert (level["tokens"], level["pieces"], level["counted"]) == (6 * LENGTH, 3 * LENGTH, 3)
    assert (level["prompt_tokens"], level["cached_tokens"]) == (30, None)
    assert "a piece of text held 2.00 tokens on average" in run.err
    assert fake.paths == ["/v1/completions"] * 3
    assert all(body["stream_options"] == {"include_usage": True} for body in fake.bodies)
    assert len({body["prompt"] for body in fake.bodies}) == 3


def test_pieces_are_counted_where_the_server_does_not_and_the_report_says_so():
    with running(FakeOpenAI("no usage")) as url:
        run = bench(url, "--requests", "2")
    assert run.code == ExitCode.OK
    assert (run.level["tokens"], run.level["counted"]) == (2 * LENGTH, 0)
    assert run.level["prompt_tokens_per_s"] is None
    assert "the server did not count the tokens of 2 generations" in run.err


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_url_may_be_the_one_that_clients_are_given(end):
    fake = FakeOpenAI()
    with running(fake) as url:
        run = bench(url + end, "--requests", "1", "--chat", "--prompt", "hi")
    assert run.code == ExitCode.OK
    assert fake.paths == ["/v1/chat/completions"]
    assert fake.bodies[0]["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("error", "error in the stream: server_error"),
        ("cut", "connection lost"),
        ("early end", "stream cut"),
        ("not a stream", "no stream"),
        ("429", "429 rate_limit_exceeded"),
    ],
)
def test_a_response_that_goes_wrong_is_counted_by_its_reason(behaviour, reason):
    fake = FakeOpenAI(behaviour)
    with running(fake) as url:
        run = bench(url, "--requests", "2")
    assert run.code == ExitCode.FAILED
    assert run.reasons == {reason: 2}
    assert (run.level["answered"], run.level["tokens"]) == (0, 0)
    assert len(fake.bodies) == 2


def test_a_refusal_is_told_with_the_wait_that_the_server_asks_for():
    with running(FakeOpenAI("429")) as url:
        run = bench(url, "--requests", "1")
    assert "1 failed: 429 rate_limit_exceeded (slow down); Retry-After 7 s" in run.err
    assert run.level["failures"][0]["retry_after_s"] == [7, 7]


def test_one_of_several_models_has_to_be_chosen():
    with running(FakeOpenAI(models=("m", "n"))) as url:
        done = modeld("bench", url)
        assert done.returncode == ExitCode.FAILED
        assert "has 2 models; choose with --model: m, n" in done.stderr
        assert bench(url, "--model", "n", "--requests", "1").code == ExitCode.OK


def test_a_server_that_is_still_loading_is_said_to_be_so():
    with running(FakeOpenAI("loading")) as url:
        done = modeld("bench", url)
    assert done.returncode == ExitCode.FAILED
    assert "/v1/models answers 503: it is not ready yet" in done.stderr


def test_each_request_has_a_connection_of_its_own():
    fake = FakeOpenAI()
    with running(fake) as url:
        assert bench(url, "--requests", "3").code == ExitCode.OK
    assert len(set(fake.peers)) == 3


def test_a_server_of_another_kind_is_said_to_be_one():
    fake = FakeOpenAI()
    fake.app.router.routes.clear()
    with running(fake) as url:
        done, deeper = modeld("bench", url), modeld("bench", f"{url}/a/v1")
    assert done.returncode == deeper.returncode == ExitCode.FAILED
    assert "no API that is known here: /models answers 404; /v1/models answers 404" in done.stderr
    assert "path" not in done.stderr
    assert f"Is its path right, or is it {url}?" in deeper.stderr


def test_ctrl_c_shows_what_was_measured_until_then(tmp_path):
    document, page = tmp_path / "run.json", tmp_path / "run.svg"
    fake = FakeOpenAI()
    fake.stuck_from = 1 + 3 + 1
    args = ("--concurrency", "1,4", "--requests", "9", "--json", str(document), "--plot", str(page))
    with running(fake) as url, Terminal("bench", url, *args) as terminal:
        assert fake.stuck.wait(DEADLINE_S)
        terminal.type(CTRL_C)
        terminal.wait_for("requests answered")
        terminal.wait_for("interrupted with 1 request under way")
        assert terminal.wait() == ExitCode.INTERRUPTED
    run = json.loads(document.read_text())
    (level,) = run["levels"]
    assert run["interrupted"]
    assert (level["answered"], level["unfinished"], level["complete"]) == (3, 1, False)
    assert "<svg" in page.read_text()
