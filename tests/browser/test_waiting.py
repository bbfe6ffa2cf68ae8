# SPDX-License-Identifier: GPL-3.0-only
"""Who waits for the first token is told for what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit

pytestmark = pytest.mark.browser


def test_a_request_says_that_its_model_is_loaded_and_then_answers(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    served = start(rig_folder, "--models", json.dumps({"*": {"load_gate": str(gate)}}))
    harness = visit(served).open("infer")

    harness.ask("at last", "a.gguf")
    expect(harness["wait"]).to_have_text("The model is being loaded.")
    gate.touch()

    harness.wait_for_status("success")
    expect(harness["generation"]).to_contain_text("at last")
    expect(harness["wait"]).to_have_count(0)


def test_a_request_says_that_it_stands_in_line(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    served = start(rig_folder, "--models", json.dumps({"*": {"slots": 1}}))
    first, second = visit(served).open("infer"), visit(served).open("infer")
    first.script("a.gguf", tokens=2, gate=str(gate), gate_at=1)
    expect(first["generation"]).to_contain_text("t0")

    second.ask("my turn", "a.gguf")
    expect(second["wait"]).to_have_text("In line for the model: 1 request.")
    gate.touch()

    second.wait_for_status("success")
    first.wait_for_status("success")
