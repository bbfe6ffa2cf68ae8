# SPDX-License-Identifier: GPL-3.0-only
"""Every claim of README.md that a program can check."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from modeld.cli.main import cli
from modeld.httpapi.app import ModeldApp, create_app
from modeld.settings import TABLE, Settings, resolve
from modeld.settings.setting import default_text
from tests.support.gguf.gguf_corpus import write_model
from tests.support.gguf.real_models import SMOLLM2

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# A console block is indented by four spaces.
CONSOLE = [line[4:] for line in README.splitlines() if line.startswith("    ")]


def block(language: str, containing: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and containing in text]
    return found


def test_the_settings_table_says_what_the_settings_say():
    rows = {row.name: row for row in TABLE}
    listed = re.search(r"<!-- settings: (.*) -->", README)
    assert listed is not None
    for name in listed.group(1).split():
        row = rows[name]
        default = default_text(row)
        shown = default if default == "none" else f"`{default}`"
        assert f"| `{row.flag}` | `{row.variable}` | {shown} | {row.help} |" in README


def test_the_file_with_options_for_models_is_a_good_one(tmp_path):
    (tmp_path / "modeld.yaml").write_text(block("yaml", "models:"))
    settings = resolve({}, {}, str(tmp_path / "modeld.yaml")).settings
    assert settings.models["*-q4_k_m.gguf"] == {"slots": 4}


def test_every_make_verb_exists():
    verbs = {word for line in CONSOLE for word in re.findall(r"make ([a-z][a-z0-9-]*)", line)}
    makefile = (ROOT / "Makefile").read_text()
    assert verbs
    for verb in verbs:
        assert re.search(rf"^{verb}:.*## ", makefile, re.MULTILINE), verb


def test_every_command_and_flag_exists():
    lines = [line.partition("#")[0] for line in CONSOLE if line.startswith("modeld ")]
    assert lines
    context = click.Context(cli)
    for line in lines:
        _, name, *words = line.split()
        command = cli.get_command(context, name)
        assert command is not None, line
        known = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_every_endpoint_of_the_table_is_served():
    app = create_app(Settings(models_dir="/nowhere"))
    served = {(method, path) for path, method in operations(app)}
    named = re.findall(r"`(GET|POST) (/[^`]*)`", README)
    assert len(named) > 8
    for method, path in named:
        assert (method, path) in served or path.startswith("/swagger/"), path


def operations(app: ModeldApp) -> list[tuple[str, str]]:
    return [
        (route.template.replace(":path", ""), method)
        for route in app.routes
        for method in getattr(route.route, "methods", None) or ()
    ]


def test_the_application_can_be_mounted_as_shown():
    names: dict[str, object] = {}
    exec(block("python", "create_app("), names)  # the README's own code
    assert isinstance(names["llm"], ModeldApp)


def test_the_example_with_openais_client_is_five_lines_about_what_make_run_serves():
    code = block("python", "from openai import OpenAI")
    compile(code, "README.md", "exec")  # tests/clients runs it
    assert len([line for line in code.splitlines() if line]) == 5
    (port,) = re.findall(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    base_path = create_app(Settings(models_dir="/nowhere")).base_paths["openai"]
    assert f'base_url="http://127.0.0.1:{port}{base_path}"' in code
    assert f'model="{SMOLLM2}"' in code


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the README's backend, built and installed into a folder."""
    project, target = tmp_path_factory.mktemp("echo"), tmp_path_factory.mktemp("installed")
    (project / "echo_backend.py").write_text(block("python", "class EchoEngine"))
    (project / "pyproject.toml").write_text(block("toml", "modeld-echo"))
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(project)],
        check=True,
        capture_output=True,
    )
    return target


def modeld(echo: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("modeld")), *args],
        env={**os.environ, "PYTHONPATH": str(echo), "MODELD_BLOCK_PLUGINS": "llama-cpp,openvino"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_backend_is_short():
    lines = block("python", "class EchoEngine").splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


def test_the_backend_is_found_when_installed(echo):
    assert re.search(
        r"^echo +modeld-echo +1.0 +active +backend echo$", modeld(echo, "plugins").stdout, re.M
    )


def test_the_backend_answers(echo, tmp_path):
    model = str(write_model(tmp_path / "any.gguf"))
    whole = modeld(echo, "run", model, "one two three")
    assert (whole.returncode, whole.stdout) == (0, "one two three \n")
    chat = modeld(echo, "run", model, "one two", "--chat")
    assert chat.stdout == "one two \n"


def test_a_generation_that_is_cut_says_so(echo, tmp_path):
    model = str(write_model(tmp_path / "any.gguf"))
    done = modeld(echo, "run", model, "one two three", "--max-tokens", "2")
    assert done.stdout == "one two \n"
    assert done.stderr.endswith("(cut after 2 tokens; see --max-tokens)\n")
