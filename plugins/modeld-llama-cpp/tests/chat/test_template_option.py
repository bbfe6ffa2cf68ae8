# SPDX-License-Identifier: GPL-3.0-only
"""What can be set as a chat template is a template, or stops the start and says what to give."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from modeld_llama_cpp.chat.template_option import MAX_BYTES, NAMES
from modeld_llama_cpp.options import LlamaOptions
from tiny_gguf import write_scripted

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "settings.md").read_text(
    encoding="utf-8"
)


def refusal(**options: object) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(options, LlamaOptions)
    return str(caught.value)


@pytest.mark.parametrize(
    "text", [*NAMES, "{{ messages[0].content }}", "a\n{% for m in messages %}b{% endfor %}"]
)
def test_a_template_and_the_name_of_one_are_taken(text: str) -> None:
    assert msgspec.convert({"chat_template": text}, LlamaOptions).chat_template == text


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("chat_ml", "chatml"),
        ("ChatML", "chatml"),
        ("llama-3", "llama3"),
        ("granite-4.2", "granite"),
    ],
)
def test_a_name_that_llama_cpp_does_not_have_is_refused_with_the_nearest(
    text: str, near: str
) -> None:
    said = refusal(chat_template=text)
    assert said.startswith(f"chat_template is {text!r}, which has no {{{{ }}}} or {{% %}} in it")
    assert f"did you mean '{near}" in said


def test_a_name_like_no_other_is_refused_with_all_of_them() -> None:
    assert refusal(chat_template="0").endswith(f"; these are {', '.join(NAMES)}")


@pytest.mark.parametrize(
    "text", ["User: \nAssistant: ", "[INST] hi [/INST]", "{ content }", "{# a comment #}", "%}"]
)
def test_a_text_without_jinja_is_refused(text: str) -> None:
    assert "which has no {{ }} or {% %} in it" in refusal(chat_template=text)


def test_a_long_text_without_jinja_is_not_repeated_in_full() -> None:
    assert len(refusal(chat_template="say it again, " * 1000)) < 1500


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_template_is_refused(text: str) -> None:
    assert refusal(chat_template=text) == (
        "chat_template is empty; leave it out to use the model's own"
    )


@pytest.mark.parametrize(
    "path",
    ["own.jinja", "OWN.JINJA", "own.j2", "/etc/own", "~/own", "templates/own.txt", "./chatml"],
)
def test_a_file_instead_of_a_text_is_refused_by_name(path: str) -> None:
    assert refusal(chat_template=path) == (
        f"chat_template is a template's text, and {path!r} looks like a file; give the file as"
        " chat_template_file"
    )


def test_a_template_that_is_too_large_is_refused(tmp_path: Path) -> None:
    text = "{{ 1 }}" + "ä" * (MAX_BYTES // 2)
    file = tmp_path / "own.jinja"
    file.write_text(text, encoding="utf-8")
    for options in ({"chat_template": text}, {"chat_template_file": str(file)}):
        assert "has more than 262144 bytes" in refusal(**options)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "cannot be read: it is not UTF-8 text"),
        (b"", "is no chat template"),
        (b"chatml\n", "is no chat template, as it has no {{ }} or {% %} in it"),
    ],
)
def test_a_file_that_is_no_template_is_refused(data: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_bytes(data)
    said = refusal(chat_template_file=str(file))
    assert said.startswith("chat_template_file 'own.jinja' ")
    assert why in said


def test_a_template_may_lie_in_a_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.jinja").write_text("{{ 1 }}", encoding="utf-8")
    msgspec.convert({"chat_template_file": "~/own.jinja"}, LlamaOptions)


@pytest.mark.parametrize("pattern", ["*", "tiny.gguf"])
def test_a_wrong_template_stops_the_server_s_start(pattern: str, tmp_path: Path) -> None:
    write_scripted(tmp_path / "tiny.gguf")
    rows = json.dumps({pattern: {"chat_template": "ChatML"}})
    done = subprocess.run(
        [
            sys.executable, "-m", "modeld.cli.main", "serve", "--models-dir", str(tmp_path),
            "--addr", "127.0.0.1:0", "--models", rows,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"models['{pattern}'].chat_template: chat_template is 'ChatML'" in done.stderr
    assert "did you mean 'chatml'?" in done.stderr


def test_the_page_lists_every_name() -> None:
    (listed,) = (part for part in PAGE.split("\n\n") if part.startswith(f"`{NAMES[0]}`"))
    assert tuple(re.findall(r"`([^`]+)`", listed)) == NAMES
