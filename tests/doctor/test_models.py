# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import os

import pytest

from modeld.doctor.inventory import Inventory
from modeld.doctor.models import (
    MOST_LISTED,
    check_duplicates,
    check_files,
    check_settings,
    check_sources,
)
from modeld.settings import Settings
from tests.support.doctor.another_machine import bad, listed_in, only, spec
from tests.support.gguf.gguf_corpus import write_model


@pytest.mark.usefixtures("rig")
def test_models_are_counted_and_the_useless_ones_named_with_their_reasons(models):
    listed = listed_in(models, block_plugins=("llama-cpp", "openvino"))
    counted = only(check_sources(listed, Settings()))
    assert (counted.facts["found"], counted.facts["usable"]) == (2, 1)
    finding = only(bad(check_files(listed)))
    assert (finding.subject, finding.level) == ("empty.gguf", "warning")
    assert "the file is empty (0 bytes)" in finding.message
    assert str(models / "empty.gguf") in str(finding.fix)


def test_a_folder_that_is_missing_is_an_error_that_says_what_to_do(tmp_path):
    listed = listed_in(tmp_path / "none", block_plugins=("openvino",))
    finding = only(check_sources(listed, Settings()))
    assert finding.level == "error"
    assert "no such file or directory" in finding.message
    assert finding.fix == "make the folder or set models_dir to another one"


def test_a_folder_without_models_is_a_warning(tmp_path):
    finding = only(check_sources(listed_in(tmp_path), Settings(models_dir=str(tmp_path))))
    assert (finding.level, str(tmp_path) in finding.message) == ("warning", True)


def test_many_useless_files_are_counted_and_not_all_listed(tmp_path):
    for number in range(MOST_LISTED + 3):
        (tmp_path / f"{number}.gguf").write_bytes(b"")
    found = list(check_files(listed_in(tmp_path)))
    assert len(found) == MOST_LISTED + 1
    assert found[-1].message == "3 more models cannot be used"


@pytest.mark.usefixtures("rig")
def test_a_model_that_no_backend_loads_is_a_warning(tmp_path):
    write_model(tmp_path / "a.gguf", architecture="unheard-of")
    finding = only(check_files(listed_in(tmp_path, block_plugins=("llama-cpp", "openvino"))))
    assert (finding.subject, finding.level) == ("a.gguf", "warning")
    assert "no installed backend can load 'a.gguf'" in finding.message


@pytest.mark.usefixtures("rig")
def test_options_that_a_server_would_not_start_with_are_an_error(models):
    rows = {"tiny*": {"slot": 2}}
    finding = bad(
        check_files(listed_in(models, block_plugins=("llama-cpp", "openvino"), models=rows))
    )[-1]
    assert (finding.subject, finding.level) == ("tiny.gguf", "error")
    assert "models['tiny*'].slot: backend 'rig' has no such option" in finding.message


LISTED = Inventory(specs=[spec("a.gguf"), spec("b.gguf", problem="it is cut off")])


@pytest.mark.parametrize(
    ("default", "level", "says"),
    [
        ("a.gguf", "ok", "a.gguf"),
        ("b.gguf", "error", "cannot be used"),
        ("c.gguf", "error", "there is no model 'c.gguf'; did you mean"),
    ],
)
def test_the_default_model_must_be_one_that_can_be_used(default, level, says):
    finding = only(check_settings(LISTED, Settings(default_model=default)))
    assert finding.level == level
    assert says in finding.message


def test_presets_and_models_to_preload_must_be_there(tmp_path):
    write_model(tmp_path / "a.gguf")
    settings = {"presets": {"p": {"model": "b"}}, "preload": ("A", "p", "c.gguf")}
    found = list(check_settings(listed_in(tmp_path, **settings), Settings(**settings)))
    assert [finding.subject for finding in found] == ["preload", "presets"]
    assert "preload names 'c.gguf', and there is no such model; did you mean" in found[0].message
    assert "the preset 'p' cannot be used: presets['p'].model: there is no" in found[1].message


def test_options_for_models_that_do_not_exist_are_a_warning():
    settings = Settings(models={"*": {}, "b.*": {}, "llama-*": {"slots": 1}})
    finding = only(check_settings(LISTED, settings))
    assert (finding.level, "models['llama-*']" in finding.message) == ("warning", True)
    assert list(check_settings(Inventory(), settings)) == []


def test_copies_and_links_of_a_model_are_found(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        write_model(tmp_path / name)
    write_model(tmp_path / "other.gguf", architecture="qwen2")
    os.link(tmp_path / "a.gguf", tmp_path / "linked.gguf")
    copy, link = check_duplicates(listed_in(tmp_path))
    assert (copy.subject, copy.level) == ("b.gguf", "warning")
    assert "a copy of a.gguf" in copy.message
    assert link.subject == "linked.gguf"
    assert "the same file as a.gguf" in link.message


def test_models_of_one_size_with_other_content_are_no_copies(tmp_path):
    for name, content in (("a", b"x"), ("b", b"y")):
        write_model(tmp_path / f"{name}.gguf")
        with (tmp_path / f"{name}.gguf").open("ab") as file:
            file.write(content * 100_000)
    assert list(check_duplicates(listed_in(tmp_path))) == []


def test_files_that_cannot_be_used_are_no_copies(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUX" * 9)
    assert list(check_duplicates(listed_in(tmp_path))) == []


def test_a_model_that_another_source_hides_is_named():
    listed = Inventory(specs=[spec("a.gguf")], hidden={"a.gguf": "hub"})
    assert "the source hub" in only(bad(check_duplicates(listed))).message
