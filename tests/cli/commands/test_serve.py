# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from modeld.cli.commands.serve import base_urls, example, trusted_hosts
from modeld.cli.main import ExitCode
from modeld.settings import Settings
from tests.support.cli.terminal import DEADLINE_S, MODELD, Terminal, modeld

pytestmark = pytest.mark.usefixtures("measured_processes")


@contextmanager
def serving(*args: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield a server as a process, and its address once it answers requests."""
    command = [MODELD, "serve", "--addr", ":0", "--warm-workers", "0", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            yield line.split("modeld serves at ")[1].split(";")[0], process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ask the server to stop; its exit code and what it has logged."""
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=DEADLINE_S)
    return process.returncode, logged


def test_the_line_at_the_start_has_a_command_that_works(models, rig):
    with serving("--models-dir", str(models), "--default-model", "tiny.gguf") as (url, process):
        assert process.stdout is not None
        command = process.stdout.readline().strip()
        assert command.startswith(f"curl -N {url}/infer ")
        response = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert json.loads(response[0]) == {"token": "The "}
        assert json.loads(response[-1])["done"] is True
        assert stop(process)[0] == ExitCode.OK


def test_behind_it_is_the_base_url_for_clients(models, rig):
    with serving("--models-dir", str(models)) as (url, process):
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.readline() == f"base URL for anthropic clients: {url}\n"
        assert process.stdout.readline() == f"base URL for ollama clients: {url}\n"
        assert process.stdout.readline() == f"base URL for openai clients: {url}/v1\n"
        assert httpx.get(f"{url}/api/tags").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 200
        assert stop(process)[0] == ExitCode.OK


@pytest.mark.parametrize(
    ("url", "trusted", "base_url"),
    [
        ("http://127.0.0.1:8080", (), "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080", ("localhost", "127.0.0.1"), "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080", ("llm.lan", "localhost"), "http://llm.lan:8080"),
        ("http://[::1]:8080", (), "http://[::1]:8080"),
        ("http://0.0.0.0:8080", ("::1",), "http://[::1]:8080"),
        ("unix:/run/modeld.sock", (), "http://localhost"),
        ("unix:/run/modeld.sock", ("llm.lan",), "http://llm.lan"),
    ],
)
def test_the_base_url_has_a_name_that_the_server_answers_to(url, trusted, base_url):
    found = base_urls(url, Settings(trusted_hosts=trusted), {"openai": "/v1", "ollama": ""})
    assert found == {"openai": f"{base_url}/v1", "ollama": base_url}


def test_without_a_backend_it_serves_and_says_which_to_install(models, monkeypatch):
    monkeypatch.setenv("MODELD_BLOCK_PLUGINS", "llama-cpp,openvino")
    with serving("--models-dir", str(models)) as (url, process):
        found = httpx.get(f"{url}/models").json()["models"]
        assert {model["id"] for model in found} == {"tiny.gguf", "empty.gguf"}
        code, logged = stop(process)
    assert code == ExitCode.OK
    assert "no backend is installed" in logged
    assert "pip install modeld[llama]" in logged


def test_json_logs_are_json_from_the_first_line_to_the_last(models, rig):
    command = [MODELD, "serve", "--addr", ":0", "--models-dir", str(models), "--log-format", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            lines = [json.loads(process.stderr.readline())]
            while "url" not in lines[-1]:
                lines.append(json.loads(process.stderr.readline()))
            url = lines[-1]["url"]
            assert lines[-1]["base_urls"] == {
                "anthropic": url,
                "ollama": url,
                "openai": f"{url}/v1",
            }
            httpx.get(f"{url}/models", headers={"X-Request-ID": "mine"})
            httpx.get(f"{url}/no%1b%5B2J%0d%0aforged/x")
        finally:
            process.send_signal(signal.SIGTERM)
            out, rest = process.communicate(timeout=DEADLINE_S)
    assert out == ""
    lines += [json.loads(line) for line in rest.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    (mine,) = [line for line in lines if line.get("request_id") == "mine"]
    assert (mine["route"], mine["status"]) == ("/models", 200)
    (forged,) = [line["message"] for line in lines if "forged" in line["message"]]
    assert forged.isprintable(), "what a client sends is escaped"


def test_a_taken_port_is_exit_code_3_and_says_so(models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = modeld("serve", "--addr", f":{port}", "--models-dir", str(models))
    assert done.returncode == ExitCode.NOT_STARTED
    (line,) = [line for line in done.stderr.splitlines() if str(port) in line]
    assert line.startswith("modeld: ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--addr", "8080"), "addr"),
        (("--addr", "0.0.0.0:0"), "insecure_no_auth"),
        (("--eviction-policy", "lur"), "did you mean 'lru'"),
        (("--max-wait-s", "0"), "--max-wait-s"),
        (("--cors-origins", "*"), "set api_key_file too"),
        (("--config", "/no/such.yaml"), "/no/such.yaml"),
    ],
)
def test_wrong_settings_are_exit_code_2_and_one_line(args, said):
    done = modeld("serve", *args)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("modeld: error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_stops_the_server_in_order(models, rig):
    with Terminal("serve", "--addr", ":0", "--models-dir", str(models)) as terminal:
        terminal.wait_for("try this in another terminal")
        terminal.type("\x03")
        assert terminal.wait() == ExitCode.OK
        assert "Traceback" not in terminal.shown


def test_a_page_that_points_its_name_here_is_refused(models, rig):
    with serving("--models-dir", str(models)) as (url, process):
        assert httpx.get(f"{url}/models").status_code == 200
        refused = httpx.get(f"{url}/models", headers={"Host": "evil.example"})
        assert refused.status_code == 403
        assert stop(process)[0] == ExitCode.OK


@pytest.mark.parametrize(
    ("address", "settings", "expected"),
    [
        ("127.0.0.1:8080", {}, {"localhost", "127.0.0.1", "::1"}),
        ("[::1]:8080", {}, {"localhost", "127.0.0.1", "::1"}),
        ("localhost:8080", {}, {"localhost", "127.0.0.1", "::1"}),
        ("127.0.0.2:8080", {}, {"localhost", "127.0.0.1", "::1", "127.0.0.2"}),
        ("127.0.0.1:8080", {"api_key_file": "keys"}, None),
        ("0.0.0.0:8080", {}, None),
        ("unix:/run/modeld.sock", {}, None),
    ],
)
def test_names_are_checked_where_no_key_and_no_other_machine_is_expected(
    address, settings, expected, monkeypatch
):
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    found = trusted_hosts(address, Settings(**settings))
    assert found is None if expected is None else set(found or ()) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"localhost", "127.0.0.1", "::1"}),
        ({"trusted_hosts": ("modeld.lan",)}, {"modeld.lan"}),
        ({"api_key_file": "keys"}, None),
        ({"insecure_no_auth": True}, None),
    ],
)
def test_a_socket_of_systemd_without_keys_answers_to_loopbacks_names(
    settings, expected, monkeypatch
):
    monkeypatch.setenv("LISTEN_FDS", "1")
    found = trusted_hosts("0.0.0.0:8080", Settings(**settings))
    assert found is None if expected is None else set(found or ()) == expected


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("http://127.0.0.1:1", {}, "curl -N http://127.0.0.1:1/models"),
        (
            "unix:/run/my sock",
            {},
            "curl -N --unix-socket '/run/my sock' http://localhost/models",
        ),
        (
            "http://h:1",
            {"api_key_file": "/etc/keys"},
            "curl -N -H \"Authorization: Bearer $(grep -m 1 '^[^#]' /etc/keys)\" http://h:1/models",
        ),
        ("http://[::1]:1", {}, "curl -N 'http://[::1]:1'/models"),
    ],
)
def test_the_example_fits_the_address_and_the_keys(url, settings, expected):
    assert example(url, Settings(**settings), ["a", "b"]) == expected


@pytest.mark.parametrize(
    ("default", "usable", "asked_for"),
    [
        ("", [], None),
        ("", ["a", "b"], None),
        ("nope", [], None),
        ("", ["a"], {}),
        ("b", ["a", "b"], {}),
        ("nope", ["it's", "b"], {"model": "it's"}),
    ],
)
def test_the_example_names_a_model_only_where_it_must(default, usable, asked_for):
    command = shlex.split(example("http://h:1", Settings(default_model=default), usable))
    if asked_for is None:
        assert command[-1] == "http://h:1/models"
    else:
        assert "http://h:1/infer" in command
        said = {"prompt": "The capital of France is", "max_tokens": 32}
        assert json.loads(command[-1]) == asked_for | said


@pytest.mark.parametrize("default", ["", "tinny.gguf"])
def test_the_example_works_without_a_good_default_model_too(default, models, rig):
    with serving("--models-dir", str(models), "--default-model", default) as (_, process):
        assert process.stdout is not None
        command = process.stdout.readline().strip()
        response = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=True
        )
        assert json.loads(response.stdout.splitlines()[-1])["done"] is True
        code, logged = stop(process)
    assert code == ExitCode.OK
    if default:
        assert "did you mean 'tiny.gguf'?" in logged


def test_the_example_sends_the_first_key_of_a_file_with_comments(models, rig, tmp_path: Path):
    keys = tmp_path / "the keys"
    keys.write_text("# of anna\n\nfirst\nsecond\n")
    with serving("--models-dir", str(models), "--api-key-file", str(keys)) as (_, process):
        assert process.stdout is not None
        command = process.stdout.readline().strip()
        response = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=True
        )
        assert json.loads(response.stdout.splitlines()[-1])["done"] is True
        assert stop(process)[0] == ExitCode.OK


@pytest.mark.parametrize("names", ["llm.example,localhost", "127.0.0.1"])
def test_the_example_addresses_the_server_by_a_name_that_it_answers_to(names, models, rig):
    with serving("--models-dir", str(models), "--trusted-hosts", names) as (_, process):
        assert process.stdout is not None
        command = process.stdout.readline().strip()
        assert ("Host: llm.example" in command) == ("llm.example" in names)
        response = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=True
        )
        assert json.loads(response.stdout.splitlines()[-1])["done"] is True
        assert stop(process)[0] == ExitCode.OK


def test_the_example_for_a_unix_socket_works(models, rig, tmp_path: Path):
    path = tmp_path / "modeld.sock"
    with serving("--addr", f"unix:{path}", "--models-dir", str(models)) as (url, process):
        assert url == f"unix:{path}"
        assert process.stdout is not None
        command = process.stdout.readline().strip()
        response = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
        assert json.loads(response.splitlines()[-1])["done"] is True
        said = [process.stdout.readline() for _ in range(3)]
        assert said == [
            "base URL for anthropic clients through the socket: http://localhost\n",
            "base URL for ollama clients through the socket: http://localhost\n",
            "base URL for openai clients through the socket: http://localhost/v1\n",
        ]
        assert stop(process)[0] == ExitCode.OK
