# SPDX-License-Identifier: GPL-3.0-only
"""Every block of code on the pages is what it says: it runs, parses, or is cut from its file.

A block of Python without a title is run, together with the others of its page in their order. One
with a title is a piece of the file that the title names; in a tutorial it is a file that the reader
writes (tests/docs/test_tutorials.py).
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import psutil
import pytest
import yaml
from modeld_llama_cpp.backend import LlamaCpp

from modeld import ModelSpec
from modeld.cli.main import cli
from modeld.serving.models.options import options_of
from modeld.settings import resolve
from tests.support.docs.pages import PAGES, ROOT, Block, blocks

LANGUAGES = {"diff", "js", "json", "jsonl", "python", "sh", "text", "toml", "yaml"}
SETTINGS_FILES = ("modeld.yaml", "modeld.json", "modeld.toml")


def of(language: str) -> list[Block]:
    return blocks(language)


def cut() -> list[Block]:
    """Return the blocks that are cut from a file of this repository."""
    return [
        block
        for language in sorted(LANGUAGES)
        for block in blocks(language)
        if block.title is not None
        and block.title not in SETTINGS_FILES
        and not block.page.startswith("tutorials/")
    ]


def settings_files() -> list[Block]:
    languages = ("yaml", "json", "toml")
    return [block for each in languages for block in blocks(each) if block.title in SETTINGS_FILES]


def test_every_fence_has_a_language_that_is_checked() -> None:
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text()
        opened = re.findall(r"^ *```(.+)$", text, re.MULTILINE)
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(opened), page
        assert {fence.split()[0] for fence in opened} <= LANGUAGES, page


def test_javascript_is_cut_from_a_file_that_is_run() -> None:
    assert all(block.title is not None for block in of("js"))


@pytest.mark.parametrize("page", PAGES)
def test_python_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(psutil.Process().children())
    module = ModuleType(page)  # where classes look up what their annotations name
    monkeypatch.setitem(sys.modules, page, module)
    names = vars(module)
    for block in blocks("python", page):
        # The first line makes annotations mere text, so that skeletons may name what comes later.
        code = "from __future__ import annotations" + "\n" * block.line + block.text
        compiled = compile(code, block.where, "exec", dont_inherit=True)
        if block.title is None:
            exec(compiled, names)
    # Who copies the code copies what it leaves behind.
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("block", cut(), ids=lambda block: block.where)
def test_a_block_with_a_title_is_cut_from_that_file(block: Block) -> None:
    assert block.title is not None
    assert block.text in (ROOT / block.title).read_text()


def test_the_whole_first_backend_is_shown() -> None:
    module = "examples/first_backend/modeld_recite.py"
    text = (ROOT / module).read_text()
    for block in cut():
        if block.title == module:
            text = text.replace(block.text, "")
    left = [line for line in text.splitlines() if line and not line.startswith(("#", '"""'))]
    assert left == []


@pytest.mark.parametrize("block", of("json"), ids=lambda block: block.where)
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of("jsonl"), ids=lambda block: block.where)
def test_every_line_of_ndjson_parses(block: Block) -> None:
    for line in block.text.splitlines():
        json.loads(line)


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.where)
def test_yaml_parses(block: Block) -> None:
    assert yaml.safe_load(block.text)


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: block.where)
def test_toml_parses(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", settings_files(), ids=lambda block: block.where)
def test_a_settings_file_can_be_used(block: Block, tmp_path: Path) -> None:
    file = tmp_path / str(block.title)
    file.write_text(block.text)
    settings = resolve({}, {}, str(file)).settings
    assert settings.models or settings.presets
    of_models = dict.fromkeys(settings.models, "")
    of_presets = {name: row["model"] for name, row in settings.presets.items()}
    for name, preset_of in (of_models | of_presets).items():
        spec = ModelSpec(id=name, name=name, path="", preset_of=preset_of)
        assert options_of(spec, settings, LlamaCpp())


def test_the_three_settings_files_mean_the_same(tmp_path: Path) -> None:
    found = []
    for block in settings_files():
        if block.page == "how-to/build-and-run.md":
            file = tmp_path / str(block.title)
            file.write_text(block.text)
            found.append(resolve({}, {}, str(file)).settings)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Return the lines of all shell blocks that run a program, with the words after its name."""
    line = re.compile(rf"^(?:[A-Z_]+=\S+ )?{program} ?(.*)$", re.MULTILINE)
    return [
        (f"{block.where}: {words}", shlex.split(words.partition(" | ")[0], comments=True))
        for block in blocks("sh")
        for words in line.findall(block.text)
    ]


def test_every_command_and_flag_exists() -> None:
    found = commands("modeld")
    assert len(found) > 10
    context = click.Context(cli)
    for where, (name, *words) in found:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, where
        params = command.get_params(context)
        known = {flag for param in params for flag in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, where


def test_every_verb_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    verbs = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))
    said = {word for _, words in commands("make") for word in words[:1]}
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text()
        said |= set(re.findall(r"`make ([a-z][a-z0-9-]*)", text))
    assert len(said) > 8
    assert said <= verbs
