# SPDX-License-Identifier: GPL-3.0-only
"""The browser's suite: a server for it, the tests, and what is kept when something failed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from testctl import suites
from testctl.commands import ROOT, Run
from testctl.host_models import HostModels, Mode
from testctl.outcomes import reason
from testctl.server import ServerError

ARTIFACTS = ROOT / "tests" / "artifacts"

Serving = Callable[[Path, str | None, Path], AbstractContextManager[str]]


def run_tests(
    mode: Mode,
    models: HostModels,
    arguments: Sequence[str],
    *,
    run: Run,
    serving: Serving,
    artifacts: Path,
) -> str:
    """Run the browser's tests against a server of their own; why they failed, or nothing.

    In mock mode the pages answer themselves; the server, without a model, only brings the files.
    """
    log = artifacts / f"server-{mode}.log"
    default = models.default if mode == "live" else None
    try:
        with (
            tempfile.TemporaryDirectory() as empty,
            serving(folder := _folder(mode, models, empty), default, log) as url,
        ):
            why = reason(run(suites.browser(arguments), variables(url, mode, folder)))
    except ServerError as error:
        why = str(error)
    if why:
        return f"{why}; the server's log is {log.relative_to(artifacts.parents[1])}"
    log.unlink(missing_ok=True)
    return ""


def _folder(mode: Mode, models: HostModels, empty: str) -> Path:
    return models.folder if mode == "live" else Path(empty)


def variables(url: str, mode: Mode, models_dir: Path) -> dict[str, str]:
    """What tells the tests where the server is, and whether it answers with real models."""
    return {
        "MODELD_BROWSER_URL": url,
        "MODELD_BROWSER_MODE": mode,
        "MODELD_BROWSER_MODELS": str(models_dir),
    }
