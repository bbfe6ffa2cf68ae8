# SPDX-License-Identifier: GPL-3.0-only
"""One Chromium for all tests, a context and a check of the console for each, and the servers.

``MODELD_BROWSER_URL`` names a server that is there already: the tests of the usual course visit it
in place of one that they start. ``MODELD_BROWSER_MODE`` says which tests to run: those in which the
page answers itself (``mock``), or those with a server (``live``); without it, both.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser.evidence import Evidence, folder_of
from tests.support.browser.harness import Harness, Mode
from tests.support.browser.programs import chromium
from tests.support.browser.sites import GivenSite, Site
from tests.support.browser.witness import Witness
from tests.support.gguf.real_models import SMOLLM2, models_folder
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, serving

EVIDENCE = pytest.StashKey[Evidence]()
WITNESSES = pytest.StashKey[list[Witness]]()

PATIENCE_MS = 10_000.0
"""How long a page may take to show something; a busy machine needs more than a person notices."""
expect.set_options(timeout=PATIENCE_MS)

Visit = Callable[..., Harness]
Start = Callable[..., Served]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the mode that was not asked for."""
    wanted = os.environ.get("MODELD_BROWSER_MODE")
    if wanted:
        others = [item for item in items if _is_ours(item) and _mode(item) != wanted]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None


def _mode(item: pytest.Item) -> Mode:
    """Tests say ``mode`` where the page may answer itself; all others are live."""
    assert isinstance(item, pytest.Function)
    mode: Mode = item.callspec.params.get("mode", "live") if hasattr(item, "callspec") else "live"
    return mode


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Every test also shows that nothing went wrong unseen."""
    yield
    for witness in item.stash.get(WITNESSES, []):
        assert not witness.complaints()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Save the evidence while the pages and servers of the failed test are still there."""
    report = yield
    if report.failed and report.when != "teardown" and EVIDENCE in item.stash:
        item.stash[EVIDENCE].save(folder_of(item.nodeid))
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this package only: other tests run event loops of their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Return what will be kept if this test fails; what an earlier run has kept goes."""
    shutil.rmtree(folder_of(request.node.nodeid), ignore_errors=True)
    evidence: Evidence = request.node.stash.setdefault(EVIDENCE, Evidence())
    return evidence


@pytest.fixture
def new_page(
    browser: Browser, evidence: Evidence, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[Page, Witness]]]:
    """Makes pages in contexts of their own; options are those of a context."""
    witnesses = request.node.stash.setdefault(WITNESSES, [])
    contexts = []

    def make(origin: str, **options: Any) -> tuple[Page, Witness]:
        context = browser.new_context(**options)
        contexts.append(context)
        witness = Witness(context, origin)
        witnesses.append(witness)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        evidence.watch_page(page)
        return page, witness

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def visit(new_page: Callable[..., tuple[Page, Witness]], evidence: Evidence) -> Visit:
    """Opens the dashboard of a server in a new browser context."""

    def make(site: Site, *, mode: Mode = "live", prefix: str = "", **options: Any) -> Harness:
        evidence.watch_log(site.url, site.log)
        parts = urlsplit(site.url)
        page, witness = new_page(f"{parts.scheme}://{parts.netloc}", **options)
        return Harness(page, witness, site.url + prefix, mode)

    return make


@pytest.fixture
def start(evidence: Evidence) -> Iterator[Start]:
    """Starts servers that live until the test is over and its evidence is saved."""
    with ExitStack() as servers:

        def make(models_dir: Path, *arguments: str, **options: Any) -> Served:
            served = servers.enter_context(serving(models_dir, *arguments, **options))
            evidence.watch_log(served.url, served.log)
            return served

        yield make


@pytest.fixture(scope="package")
def rig_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two models that the rig serves."""
    folder = tmp_path_factory.mktemp("models")
    write_gguf(folder / "a.gguf", "rig", name="Model A")
    write_gguf(folder / "b.gguf", "rig", name="Model B")
    return folder


@pytest.fixture(scope="package")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the shared rig notes what it does; tests tell their lines by a nonce."""
    return tmp_path_factory.mktemp("journal") / "rig.txt"


@pytest.fixture(scope="package")
def rig(rig_folder: Path, journal: Path) -> Iterator[Served]:
    """Yield a server whose models follow scripts; shared, so no test may rely on what is loaded."""
    options = json.dumps({"*": {"slots": 4, "held_mb": 40, "journal": str(journal)}})
    with serving(rig_folder, "--default-model", "a.gguf", "--models", options) as served:
        yield served


@pytest.fixture(scope="package")
def real() -> Iterator[Site]:
    """Yield a server with real models."""
    if url := os.environ.get("MODELD_BROWSER_URL"):
        yield GivenSite(url)
        return
    with serving(models_folder(), "--default-model", SMOLLM2) as served:
        yield served


@pytest.fixture
def site(mode: Mode, request: pytest.FixtureRequest) -> Site:
    """Return a server for a test of both modes: in mock mode it only brings the files."""
    if url := os.environ.get("MODELD_BROWSER_URL"):
        return GivenSite(url)
    site: Site = request.getfixturevalue("rig" if mode == "mock" else "real")
    return site
