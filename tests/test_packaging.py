# SPDX-License-Identifier: GPL-3.0-only
"""What is built and published, and what `import modeld` costs those who install it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.locks import for_this_python, pins

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
LOCKS = ("runtime", "build", "dev", "clients")
HEAVY = {
    "httptools",
    "llama_cpp",
    "prometheus_client",
    "pydantic",
    "starlette",
    "torch",
    "uvicorn",
    "yaml",
}


def declared(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    return found


def name_of(project: Path) -> str:
    return str(declared(project)["name"])


def serves(project: Path) -> bool:
    """Return whether a server may consist of it, so that what it needs is locked for serving."""
    said = tomllib.loads((project / "pyproject.toml").read_text())["tool"].get("modeld", {})
    return bool(said.get("serves", True))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the source distribution of every project."""
    folder = tmp_path_factory.mktemp("dist")
    for project in PROJECTS:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
            cwd=project,
            check=True,
            capture_output=True,
        )
    return folder


def wheel_of(project: Path, built: Path) -> zipfile.ZipFile:
    stem = name_of(project).replace("-", "_")
    (found,) = built.glob(f"{stem}-[0-9]*.whl")
    return zipfile.ZipFile(found)


def test_importing_modeld_loads_no_heavy_library():
    code = "import sys, modeld; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_wheel_has_its_package_types_and_licence_and_nothing_else(project, built):
    wheel = wheel_of(project, built)
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    package = name_of(project).replace("-", "_")
    assert {top for top in tops if not top.endswith(".dist-info")} == {package}
    assert f"{package}/py.typed" in wheel.namelist()
    assert any(name.endswith("/LICENSE") for name in wheel.namelist())
    unwanted = [name for name in wheel.namelist() if re.search(r"\.pth$|/tests?/|\.gguf$", name)]
    assert not unwanted


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_wheel_carries_every_file_of_its_package(project, built):
    package = name_of(project).replace("-", "_")
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", package],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(tracked) <= set(wheel_of(project, built).namelist())


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_wheel_says_what_it_needs_and_where_its_plugins_are(project, built):
    wheel = wheel_of(project, built)
    stem = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(stem).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert set(map(Requirement, needed)) == set(map(Requirement, declared(project)["dependencies"]))
    assert "[modeld]" in wheel.read(stem.replace("METADATA", "entry_points.txt")).decode()


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_source_distribution_can_be_built_from(project, built):
    stem = name_of(project).replace("-", "_")
    (found,) = built.glob(f"{stem}-[0-9]*.tar.gz")
    with tarfile.open(found) as sources:
        names = {name.partition("/")[2] for name in sources.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", f"{stem}/py.typed"} <= names
    assert not any(name.startswith(("tests/", "models/", ".venv")) for name in names)


def test_the_installed_wheel_runs_by_itself(built, tmp_path):
    (wheel,) = built.glob("modeld-[0-9]*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path), str(wheel)], check=True, capture_output=True)
    code = "import modeld; print(modeld.__file__); from modeld.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path}/modeld/__init__.py\nmodeld {declared(ROOT)['version']}\n"


def locked(name: str) -> dict[str, str]:
    """Package to version, as ``requirements/<name>.txt`` has them for this Python."""
    return for_this_python(pins(ROOT / "requirements" / f"{name}.txt"))


def test_the_lock_files_match_what_is_declared():
    done = subprocess.run(
        [sys.executable, "scripts/bootstrap.py", "lock", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_every_dependency_is_locked_at_a_version_that_it_allows(project):
    ours = {canonicalize_name(name_of(each)) for each in PROJECTS} | {"llama-cpp-python"}
    lock = "runtime" if serves(project) else "dev"
    for line in declared(project)["dependencies"]:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in ours:
            assert requirement.specifier.contains(locked(lock)[name]), line


def test_what_a_tool_or_a_second_engine_needs_is_not_locked_for_serving():
    apart = {name_of(project) for project in PROJECTS if not serves(project)}
    assert apart == {"modeld-bench", "modeld-openvino", "modeld-ray"}
    assert not {"httpx", "matplotlib", "openvino", "ray"} & locked("runtime").keys()


def test_development_runs_on_what_is_served():
    assert locked("runtime").items() <= locked("dev").items()


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name):
    lock = ROOT / "requirements" / f"{name}.txt"
    entries = re.findall(r"^[\w.-]+==.*(?:\n    .*)*", lock.read_text(), re.MULTILINE)
    assert len(entries) == len(pins(lock)) > 5
    assert all("--hash=sha256:" in entry for entry in entries)


def test_no_requirement_names_an_index_a_file_or_a_package_that_is_not_wanted():
    clients = ROOT / "requirements" / "clients"  # they may be, and need, what modeld may not
    for path in (each for each in (ROOT / "requirements").rglob("*") if each.is_file()):
        unwanted = "" if path.is_relative_to(clients) else "|python-multipart|litellm"
        pattern = rf"://|^-|^\s*/{unwanted}"
        assert not re.search(pattern, path.read_text(), re.MULTILINE), path


def test_llama_cpp_python_is_pinned_in_one_place():
    pin = (ROOT / "requirements" / "llama-cpp-python.txt").read_text()
    assert re.search(r"^llama-cpp-python==[\d.]+ \\\n    --hash=sha256:\w{64}$", pin, re.MULTILINE)
    for name in LOCKS:
        assert "llama-cpp-python" not in locked(name)
