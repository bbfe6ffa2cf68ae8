# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import os
import re

import pytest

from modeld.cli.main import ExitCode, main
from tests.support.cli.terminal import modeld
from tests.support.gguf.gguf_corpus import write_model


def test_models_are_listed_with_what_their_headers_say(models, capsys):
    assert main(["models", "--models-dir", str(models)]) == ExitCode.OK
    header, empty, tiny = capsys.readouterr().out.splitlines()
    assert header.split() == ["MODEL", "FAMILY", "QUANT", "SIZE", "CONTEXT", "FIT", "PROBLEM"]
    assert tiny.split()[:3] == ["tiny.gguf", "rig", "Q4_0"]
    assert tiny.split()[5:] == ["2048", "fits", "-"]
    assert empty.split()[0] == "empty.gguf"
    assert empty.endswith("not usable, see --verbose")


def test_verbose_says_why_a_file_cannot_be_used_and_where_it_is(models, capsys):
    assert main(["models", "-v", "--models-dir", str(models)]) == ExitCode.OK
    _, empty, tiny = capsys.readouterr().out.splitlines()
    assert "the file is empty (0 bytes)" in empty
    assert tiny.endswith(str(models / "tiny.gguf"))


def test_json_has_all_of_it_for_programs(models, capsys):
    assert main(["models", "--json", "--models-dir", str(models)]) == ExitCode.OK
    empty, tiny = json.loads(capsys.readouterr().out)
    assert tiny["id"] == "tiny.gguf"
    assert tiny["context_length"] == 2048
    assert tiny["size_bytes"] == (models / "tiny.gguf").stat().st_size
    assert tiny["problem"] is None
    assert (tiny["fit"], tiny["short_by_bytes"]) == ("fits", 0)
    assert tiny["need_bytes"] > 0
    assert {"text", "chat"} <= set(tiny["capabilities"])
    assert empty["capabilities"] == []
    assert tiny["aliases"] == []
    assert "empty" in empty["problem"]


def test_a_name_that_could_garble_the_terminal_is_escaped(tmp_path, capsys):
    write_model(tmp_path / "a\x1b[2J\nb.gguf")
    (tmp_path / os.fsdecode(b"\xff.gguf")).write_bytes(b"")
    assert main(["models", "--models-dir", str(tmp_path)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3
    assert main(["models", "--json", "--models-dir", str(tmp_path)]) == ExitCode.OK
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_an_empty_folder_is_said_to_be_empty(tmp_path, capsys):
    assert main(["models", "--models-dir", str(tmp_path)]) == ExitCode.OK
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"no models in {tmp_path}\n")
    assert main(["models", "--json", "--models-dir", str(tmp_path)]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == []


def test_a_missing_folder_is_a_failure_that_says_what_to_do(tmp_path, capsys):
    assert main(["models", "--models-dir", str(tmp_path / "none")]) == ExitCode.FAILED
    shown = capsys.readouterr().err
    assert str(tmp_path / "none") in shown
    assert "set models_dir to another one" in shown


def test_the_folder_may_come_from_the_environment(models, capsys, monkeypatch):
    monkeypatch.setenv("MODELD_MODELS_DIR", str(models))
    assert main(["models"]) == ExitCode.OK
    assert "tiny.gguf" in capsys.readouterr().out


def test_how_a_model_fits_into_the_budget_is_a_column(models, rig, capsys, monkeypatch):
    monkeypatch.setenv("MODELD_MODELS", json.dumps({"tiny.gguf": {"estimate_mb": 100}}))
    for budget_mb, said in ((200, "fits"), (199, "alone"), (99, "never, short by 1.0 MiB")):
        monkeypatch.setenv("MODELD_MEMORY_BUDGET_MB", str(budget_mb))
        assert main(["models", "--models-dir", str(models)]) == ExitCode.OK
        _, _, tiny = capsys.readouterr().out.splitlines()
        assert re.split(r"\s{2,}", tiny)[5] == said


def test_a_model_that_is_larger_than_the_memory_is_not_usable(models, rig, monkeypatch):
    monkeypatch.setenv("MODELD_MODELS", json.dumps({"tiny.gguf": {"estimate_mb": 1 << 30}}))
    done = modeld("models", "--models-dir", str(models), "--json")
    problems = {each["id"]: each["problem"] for each in json.loads(done.stdout)}
    said = f"it needs {1 << 30} MiB (estimated), and this machine has "
    assert problems["tiny.gguf"].startswith(said)
    shown = modeld("models", "--models-dir", str(models), "--verbose").stdout
    assert said in shown


SETTINGS = """
models:
  "*": {slots: 3, sampling: {temperature: 0.5}}
  tiny.gguf: {aliases: [small], sampling: {top_k: 5}}
presets:
  calm: {model: tiny, sampling: {temperature: 0}, max_idle_s: 60}
"""


@pytest.mark.usefixtures("rig")
def test_each_option_of_a_model_is_explained(models, tmp_path, capsys):
    config = tmp_path / "modeld.yaml"
    config.write_text(SETTINGS)
    given = ["models", "--models-dir", str(models), "--config", str(config)]
    given += ["--block-plugins", "llama-cpp,openvino"]
    assert main([*given, "--explain", "CALM", "--json"]) == ExitCode.OK
    rows = {row.pop("option"): row for row in json.loads(capsys.readouterr().out)}
    assert rows["slots"] == {"value": 3, "from": "models['*']"}
    assert rows["max_idle_s"] == {"value": 60.0, "from": "presets['calm']"}
    assert rows["aliases"] == {"value": [], "from": "default"}
    assert rows["backend"]["from"] == "choice of the plugins"
    assert rows["sampling.temperature"] == {"value": 0, "from": "presets['calm']"}
    assert rows["sampling.top_k"] == {"value": 5, "from": "models['tiny.gguf']"}
    assert main([*given, "--explain", "small"]) == ExitCode.OK
    header, *lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert header == ["OPTION", "VALUE", "FROM"]
    assert ["max_idle_s", "0.0", "setting max_idle_s"] in lines
    assert ["aliases", '["small"]', "models['tiny.gguf']"] in lines


@pytest.mark.parametrize(
    ("name", "said"),
    [("tinny", "there is no model 'tinny'; did you mean 'tiny.gguf'?"), ("empty.gguf", "is empty")],
)
def test_what_cannot_be_explained_is_an_error(models, name, said, capsys):
    assert main(["models", "--models-dir", str(models), "--explain", name]) != ExitCode.OK
    assert said in capsys.readouterr().err


def test_presets_and_names_are_listed(models, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MODELD_PRESETS", json.dumps({"calm": {"model": "tiny"}}))
    assert main(["models", "--json", "--models-dir", str(models)]) == ExitCode.OK
    found = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["calm"]["preset_of"] == "tiny.gguf"
    assert found["tiny.gguf"]["names"] == ["tiny", "tiny:Q4_0"]
    assert found["calm"]["names"] == ["tiny.gguf:calm", "tiny:calm"]
