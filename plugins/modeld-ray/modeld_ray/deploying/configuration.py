# SPDX-License-Identifier: GPL-3.0-only
"""modeld's settings as a cluster has them: one document, and what each node says itself."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from modeld import Settings, read_settings
from modeld.errors import ConfigurationError
from modeld.settings.file import read_file
from modeld_ray.settings import RaySettings

log = logging.getLogger("modeld.ray")

BUDGET_LABEL: Final = "modeld.io/memory_budget_mb"
"""The label by which a node says how much memory the models of each host there may take, in MiB."""


def settings_from(document: Mapping[str, Any]) -> Settings:
    """Return the settings that a document in the form of the settings file gives.

    Variables of this machine's environment win over it, as they do over a file.

    Raises:
        ConfigurationError: a value is unknown, of the wrong type or out of range.
    """
    with tempfile.TemporaryDirectory(prefix="modeld-") as folder:
        path = Path(folder) / "settings.json"
        path.write_text(json.dumps(document))
        return read_settings(str(path))


def settings_on(document: Mapping[str, Any], labels: Mapping[str, str]) -> Settings:
    """Return the settings of a host on a node with these labels.

    The node's own budget counts where the document and its environment have none.

    Raises:
        ConfigurationError: a value is wrong.
    """
    named = {"memory_budget_mb", "vram_budget_mb"} & document.keys()
    variables = {"MODELD_MEMORY_BUDGET_MB", "MODELD_VRAM_BUDGET_MB"} & os.environ.keys()
    if BUDGET_LABEL in labels and not named and not variables:
        document = {**document, "memory_budget_mb": _number(labels[BUDGET_LABEL])}
    return settings_from(document)


def settings_to_begin_with(
    document: Mapping[str, Any], labels: Mapping[str, str] = {}
) -> tuple[Settings, Callable[[], Settings] | None]:
    """Return the settings of a process of the cluster, and what reads them again.

    Whoever starts later goes by the file that the others have reloaded, where there is one on its
    machine. One that cannot be used keeps no host from serving, as it ends none that runs.

    Raises:
        ConfigurationError: what was deployed cannot be used.
    """
    deployed = settings_on(document, labels)
    path = deployed.of(RaySettings).settings_file
    if not path:
        return deployed, None

    def read() -> Settings:
        return settings_on(read_file(path), labels)

    try:
        return read(), read
    except ConfigurationError as exc:
        log.warning("going by the settings as they were deployed: %s", exc.message)
        return deployed, read


def _number(text: str) -> int | str:
    """Return a label's value as a number, or as it is, which the settings then refuse by name."""
    return int(text) if text.isascii() and text.isdecimal() else text
