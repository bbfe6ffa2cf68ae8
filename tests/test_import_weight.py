# SPDX-License-Identifier: GPL-3.0-only
"""What is loaded by what: each import runs in an interpreter of its own."""

import json
import subprocess
import sys

import pytest

HEAVY = {"starlette", "uvicorn", "pydantic", "httptools", "llama_cpp", "numpy", "torch", "fastapi"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that are loaded after ``statement``."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "module",
    [
        "modeld",
        "modeld.hosting.worker.main",
        "modeld.hosting.host",
        "modeld.serving.service",
        "modeld.plugins.host",
        "modeld.settings",
        "modeld.pythonapi.opening",
    ],
)
def test_an_import_loads_no_web_stack_and_no_runtime(module: str) -> None:
    loaded = loaded_by(f"import {module}")

    assert "modeld" in loaded
    assert loaded & HEAVY == set()


def test_the_options_of_backends_are_shown_without_their_runtimes() -> None:
    loaded = loaded_by("from modeld.cli.main import main; main(['run', '--help'])")

    assert "modeld_llama_cpp" in loaded
    assert loaded & HEAVY == set()


def test_a_worker_does_without_the_parents_half() -> None:
    loaded = loaded_by("import modeld.hosting.worker.main")

    assert "yaml" not in loaded
    assert "prometheus_client" not in loaded


def test_the_application_is_loaded_when_it_is_asked_for() -> None:
    assert "starlette" in loaded_by("import modeld; modeld.create_app")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import modeld

    with pytest.raises(AttributeError, match="no attribute 'create_ap'"):
        modeld.create_ap  # noqa: B018
