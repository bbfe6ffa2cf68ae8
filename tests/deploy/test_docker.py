# SPDX-License-Identifier: GPL-3.0-only
"""The image's files: linted, and compared with the server that goes into it. Nothing is built."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from modeld.httpapi.server.capacity import wanted_files
from modeld.httpapi.server.run import CLOSE_S
from modeld.settings import Settings, resolve
from tests.support.deploy.programs import run
from tests.support.deploy.running import started

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
USER = "10001:10001"
DOCKER_STOP_S = 10
"""When `docker stop` kills, unless it is told otherwise."""


def dockerfile() -> str:
    """Return the Dockerfile with continued lines joined."""
    return (DOCKER / "Dockerfile").read_text().replace("\\\n", "")


def instruction(name: str) -> list[str]:
    """Return the arguments of each instruction of one kind."""
    return re.findall(rf"^{name} +(.*)$", dockerfile(), re.MULTILINE)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def settings(environ: dict[str, str]) -> Settings:
    return resolve({}, environ, str(DOCKER / "modeld.yaml")).settings


def copied() -> list[str]:
    """Return what the build takes from the repository."""
    lines = [line.split() for line in instruction("COPY") if not line.startswith("--from")]
    return [word for line in lines for word in line[:-1]]


def test_hadolint_has_no_complaint() -> None:
    hadolint = Path(sys.prefix) / "bin" / "hadolint"
    assert run(hadolint, DOCKER / "Dockerfile") == (0, "")


def sent(ignored: Sequence[str], path: str) -> bool:
    """Return whether a file is sent to the build: the last pattern that names it decides."""
    parts = [path, *(parent.as_posix() for parent in Path(path).parents)]
    decided = True
    for line in ignored:
        pattern = line.removeprefix("!")
        names = [part.rpartition("/")[2] for part in parts] if pattern[:3] == "**/" else parts
        if any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for name in names):
            decided = line.startswith("!")
    return decided


def test_what_is_copied_exists_and_is_sent_and_nothing_else_is() -> None:
    text = (DOCKER / "Dockerfile.dockerignore").read_text()
    ignored = [line for line in text.splitlines() if line and not line.startswith("#")]
    for path in copied():
        assert (ROOT / path).exists(), path
        assert sent(ignored, path), path
    assert sent(ignored, "modeld/cli/main.py")
    for path in (".git/HEAD", "models/x.gguf", "modeld/x.gguf", "deploy/docker/api-keys"):
        assert not sent(ignored, path), path
    for path in ("plugins/modeld-llama-cpp/tests/x.py", "modeld/__pycache__/x.pyc"):
        assert not sent(ignored, path), path


def test_the_server_in_the_image_is_no_root_and_ends_by_sigterm() -> None:
    assert instruction("USER") == [USER]
    assert instruction("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(instruction("ENTRYPOINT")[0]) == ["tini", "--", "modeld"]
    assert json.loads(instruction("CMD")[-1]) == ["serve"]


def test_the_image_has_what_the_server_needs_to_run_and_no_compiler() -> None:
    *_, runtime = re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)
    (packages,) = re.findall(r"--no-install-recommends (.*?) *&&", runtime)
    assert set(packages.split()) == {"libgomp1", "tini"}


def test_the_image_runs_on_other_processors_than_the_one_that_builds_it() -> None:
    assert 'CMAKE_ARGS="-DGGML_NATIVE=OFF"' in instruction("ARG")
    (build,) = [each for each in instruction("RUN") if "llama-cpp-python.txt" in each]
    assert ' CMAKE_ARGS="${CMAKE_ARGS}" /opt/build/bin/pip wheel ' in build


def test_nothing_is_resolved_against_an_index() -> None:
    installing = re.findall(
        r"/bin/pip (?:install|wheel) (.*?)(?:&&|$)", "\n".join(instruction("RUN")), re.MULTILINE
    )
    assert len(installing) == 5
    assert all("--no-deps" in command for command in installing)
    assert all(
        "--require-hashes" in command
        or "--no-index" in command
        or "--no-build-isolation" in command
        for command in installing
    )
    assert instruction("RUN")[-2].endswith("/opt/modeld/bin/pip check"), "nothing is missing"


def test_the_settings_of_the_image_ask_for_a_key() -> None:
    found = settings({})
    assert found.addr == "0.0.0.0:8080"
    assert found.api_key_file
    assert not found.insecure_no_auth
    assert found.readiness == "accepting"
    assert "MODELD_CONFIG=/etc/modeld/modeld.yaml" in instruction("ENV")[0]


def health_check(url: str) -> list[str]:
    """Return the image's health check, run with this Python and asking ``url``."""
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    assert found is not None
    _, *arguments = json.loads(found[1])
    return [sys.executable, *(word.replace("http://localhost:8080", url) for word in arguments)]


def test_the_health_check_finds_a_server_that_lives_and_none_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # as Docker's client may set it
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with started("--addr", ":0") as server:
        url = server.address()
        assert run(*health_check(url)) == (0, "")
        server.terminate()
        assert server.exit_code() == 0
        assert run(*health_check(url))[0] == 1


def test_compose_gives_what_the_image_needs() -> None:
    service = compose()["services"]["modeld"]
    found = settings(service["environment"])
    assert service["build"] == {"context": "../..", "dockerfile": "deploy/docker/Dockerfile"}
    (secret,) = service["secrets"]
    assert found.api_key_file == f"/run/secrets/{secret}"
    assert secret in compose()["secrets"]
    (volume,) = service["volumes"]
    assert volume["target"] == found.models_dir
    assert volume["read_only"]
    assert service["ports"] == [f"127.0.0.1:8080:{found.addr.rpartition(':')[2]}"]


def test_the_models_leave_memory_for_the_rest_of_the_container() -> None:
    service = compose()["services"]["modeld"]
    limit_mb = int(service["mem_limit"].removesuffix("g")) * 1024
    assert 0 < settings(service["environment"]).memory_budget_mb <= 0.8 * limit_mb
    assert service["memswap_limit"] == service["mem_limit"]


def test_the_container_has_no_privilege() -> None:
    service = compose()["services"]["modeld"]
    assert service["read_only"] is True
    assert service["ulimits"]["core"] == 0
    assert service["ulimits"]["nofile"] >= wanted_files(Settings().max_connections)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_variable_for_the_models_folder_means_the_same_to_modeld() -> None:
    (volume,) = compose()["services"]["modeld"]["volumes"]
    (variable,) = re.findall(r"\$\{(\w+):\?", volume["source"])
    assert resolve({}, {variable: "/srv"}).settings.models_dir == "/srv"


def test_the_container_is_there_after_a_boot() -> None:
    assert compose()["services"]["modeld"]["restart"] == "unless-stopped"


def test_the_keys_are_never_committed() -> None:
    (secret,) = compose()["secrets"].values()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{(DOCKER / secret['file']).relative_to(ROOT).as_posix()}" in ignored


def test_docker_waits_for_the_drain() -> None:
    service = compose()["services"]["modeld"]
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    drain_s = resolve({}, service["environment"]).settings.drain_timeout_s
    assert drain_s > Settings().drain_timeout_s
    assert grace_s > drain_s + 3 * CLOSE_S


def test_the_image_alone_has_drained_before_docker_kills_it() -> None:
    image = resolve({}, {}, str(DOCKER / "modeld.yaml")).settings
    assert image.drain_timeout_s + 1 < DOCKER_STOP_S


@pytest.mark.parametrize("text", ["", "# a comment\n"])
def test_the_image_does_not_start_without_keys(tmp_path: Path, text: str) -> None:
    keys = tmp_path / "keys"
    if text:
        keys.write_text(text)
    config = ("--config", str(DOCKER / "modeld.yaml"))
    with started(*config, "--addr", "0.0.0.0:0", "--api-key-file", str(keys)) as server:
        assert server.exit_code() == 2, server.log()
