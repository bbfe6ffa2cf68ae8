# SPDX-License-Identifier: GPL-3.0-only
"""Shows that a test leaves the loggers as it found them: other tests read the log."""

import logging
from collections.abc import Iterator

import pytest

State = dict[str, tuple[int, bool, bool]]


def _state() -> State:
    """Return the level of each logger, whether it is disabled and whether it propagates."""
    loggers = [logging.root]
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "modeld" and isinstance(logger, logging.Logger):
            loggers.append(logger)
    return {each.name: (each.level, each.disabled, each.propagate) for each in loggers}


@pytest.fixture(autouse=True)
def loggers_stay() -> Iterator[None]:
    """Fail the test that leaves a logger changed, and mend it: other tests would be blamed."""
    before, disabled = _state(), logging.root.manager.disable
    yield
    changed = {
        name: state
        for name, state in _state().items()
        if state != before.get(name, (logging.NOTSET, False, True))
    }
    for name in changed:
        logger = logging.getLogger(None if name == "root" else name)
        level, logger.disabled, logger.propagate = before.get(name, (logging.NOTSET, False, True))
        logger.setLevel(level)
    was_disabled = logging.root.manager.disable
    logging.disable(disabled)
    assert not changed, f"loggers are left changed: {changed}"
    assert was_disabled == disabled, "logging is left disabled"


@pytest.fixture
def own_log() -> Iterator[None]:
    """Let a test run commands in this process, which set up the log, and undo that."""
    ours, root = logging.getLogger("modeld"), logging.getLogger()
    before = list(root.handlers), root.level, ours.level
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)  # servers in this process set it
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(capture=False)
