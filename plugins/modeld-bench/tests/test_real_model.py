# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench`` with llama.cpp and a model that ``make models`` brings."""

from __future__ import annotations

import json

import pytest
from bench_runs import bench

from modeld.cli.main import ExitCode
from tests.support.gguf.real_models import SMOLLM2, models_folder
from tests.support.http.served import serving

pytestmark = pytest.mark.model

OPTIONS = json.dumps({"*": {"context": 1024, "slots": 2, "threads": 1}})


def test_a_real_model_is_measured():
    with serving(models_folder(), "--default-model", SMOLLM2, "--models", OPTIONS) as served:
        args = ("--prompt-tokens", "40", "--max-tokens", "12", "--ignore-eos", "--warmup", "1")
        run = bench(served.url, *args, "--concurrency", "2", "--requests", "4")
    assert run.code == ExitCode.OK
    level = run.level
    assert (level["answered"], level["tokens"], level["counted"]) == (4, 48, 4)
    assert 4 * 36 <= level["prompt_tokens"] <= 4 * 48
    assert level["cached_tokens"] <= 4 * 4, "the prompts are not distinct"
    assert 0 < level["first_token_s"]["p50"] < level["total_s"]["p50"]
    assert level["tokens_per_s"] > 0
