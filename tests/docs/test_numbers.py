# SPDX-License-Identifier: GPL-3.0-only
"""Numbers in the text are those of the code."""

from __future__ import annotations

import re
import tomllib

import pytest
from modeld_llama_cpp import options
from modeld_llama_cpp.chat import template, template_process
from modeld_llama_cpp.engine import scheduler, sequence, sharing
from modeld_llama_cpp.sandbox import child
from modeld_llama_cpp.sizing import context_size as model_shape

from modeld import constraints
from modeld.builtin.gguf import files as gguf_files
from modeld.dialects import chat_fields
from modeld.hosting.channel import frames
from modeld.hosting.process import launch, native_log
from modeld.httpapi.exchange import exchange
from modeld.httpapi.exchange.reading import body_shape
from modeld.httpapi.server import capacity, protocol, refusals, request_head, run, server
from modeld.serving import lifecycle
from modeld.serving.models import registry
from modeld.serving.state import cooldown, model_queue
from modeld.settings import Settings
from tests.support.docs.pages import PAGES, ROOT, read, rows, section
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

MIB = 1 << 20
DEFAULTS = Settings()
LLAMA = options.LlamaOptions()


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("reference/api.md", f"nested at most {body_shape.MAX_NESTING} levels deep"),
        ("reference/api.md", f"at most {body_shape.MAX_CONTAINERS:,} arrays and objects"),
        ("reference/api.md", f"long ({DEFAULTS.max_body_bytes // MIB} MiB)"),
        ("reference/api.md", f"the status {exchange.CLIENT_LEFT} if nothing had been sent"),
        ("reference/api.md", f"at most every {registry.RESCAN_INTERVAL_S:g} s"),
        ("reference/api.md", f"the last {native_log.KEPT_LINES} lines that its runtime has logged"),
        ("reference/api.md", f"`role` has 1 to {64} characters"),
        ("explanation/architecture.md", f"msgpack of at most {frames.MAX_FRAME_BYTES // MIB} MiB"),
        (
            "explanation/process-per-model.md",
            f"msgpack of at most {frames.MAX_FRAME_BYTES // MIB} MiB",
        ),
        (
            "explanation/life-of-a-request.md",
            f"at most every {registry.RESCAN_INTERVAL_S:g} s",
        ),
        ("explanation/life-of-a-request.md", f"status {exchange.CLIENT_LEFT} in the log"),
        (
            "how-to/slots-and-threads.md",
            f"prompt and {sequence.HEADROOM} tokens of generation fit beside the others",
        ),
        ("how-to/slots-and-threads.md", f"`slots` ({LLAMA.slots} unless set)"),
        (
            "how-to/slots-and-threads.md",
            f"| `prefill_chunk` | {LLAMA.prefill_chunk} |",
        ),
        ("how-to/slots-and-threads.md", f"| `ubatch` | {options.DEFAULT_UBATCH} |"),
        (
            "explanation/architecture.md",
            f"with {template.TIME_LIMIT_S} s, {child.MEMORY_BYTES // MIB} MiB",
        ),
        ("explanation/llama-cpp.md", f"up to {scheduler.FORCED} at once, more like a prompt"),
        ("explanation/architecture.md", f"and {template_process.MAX_TEXT_CHARS:,} characters"),
        ("how-to/build-and-run.md", f"at most {native_log.LINES_PER_SECOND} lines a second"),
        ("how-to/build-and-run.md", f"the last {native_log.KEPT_LINES} lines of each model"),
        ("reference/errors.md", f"longer than {request_head.MAX_TARGET_BYTES:,} bytes"),
        ("reference/errors.md", f"{capacity.RESERVE} at a time are told so"),
        (
            "explanation/memory-and-scheduling.md",
            f"moves by {model_queue.SMOOTHING} of the difference",
        ),
        (
            "explanation/memory-and-scheduling.md",
            f"after {cooldown.FIRST_S:g} s, then 10, 20, 40 and at most {cooldown.LONGEST_S:g} s",
        ),
        ("how-to/embeddings.md", f"or else `ubatch` ({options.DEFAULT_UBATCH}); no more than"),
        (
            "how-to/embeddings.md",
            f"no more than {model_shape.PIECE} where a model reads from left to right",
        ),
        ("reference/api.md", f"object of up to {constraints.MAX_SCHEMA_BYTES:,} bytes"),
        ("reference/api.md", f"1 character, {constraints.MAX_CHOICE_BYTES:,} bytes together"),
        ("reference/constraints.md", f"| texts of a choice | {constraints.MAX_CHOICES:,} |"),
        ("explanation/security.md", f"ends after {gguf_files.MAX_FILES:,} model files or"),
        ("explanation/security.md", f"or {gguf_files.MAX_ENTRIES:,} entries"),
        (
            "explanation/security.md",
            f"requests sent ahead on one connection | {protocol.MAX_AHEAD} |",
        ),
        (
            "explanation/security.md",
            f"bytes sent ahead of a response | {protocol.MAX_AHEAD_BYTES // MIB} MiB |",
        ),
        ("reference/api.md", f"more than {protocol.MAX_AHEAD_BYTES // MIB} MiB of that ends"),
        ("reference/errors.md", f"no more than {refusals.LINES_PER_SECOND} in a second"),
        (
            "explanation/security.md",
            f"chunks of less than 256 bytes in one body | {protocol.MAX_SMALL_PIECES:,} |",
        ),
        ("explanation/security.md", f"fields of the query | {exchange.MAX_QUERY_FIELDS} |"),
        ("explanation/security.md", f"path and query | {request_head.MAX_TARGET_BYTES:,} bytes"),
        (
            "explanation/security.md",
            f"arrays and objects in the body | {body_shape.MAX_CONTAINERS:,} |",
        ),
        (
            "explanation/security.md",
            f"members of all objects in the body | {body_shape.MAX_MEMBERS:,} |",
        ),
        ("explanation/security.md", f"texts in the body | {body_shape.MAX_TEXTS:,} |"),
        ("explanation/security.md", f"values in the body | {body_shape.MAX_VALUES:,} |"),
        (
            "explanation/security.md",
            f"digits in a row in a body of more than 32 KiB | {body_shape.MAX_DIGITS} |",
        ),
        ("explanation/security.md", f"msgpack of at most {frames.MAX_FRAME_BYTES // MIB} MiB"),
        (
            "explanation/security.md",
            f"{template.TIME_LIMIT_S} s and {child.MEMORY_BYTES // MIB} MiB",
        ),
        ("reference/settings.md", f"its prompt and {sequence.HEADROOM} tokens of generation fit"),
        (
            "explanation/llama-cpp.md",
            f"its prompt and room for {sequence.HEADROOM} tokens of generation fit",
        ),
        ("explanation/llama-cpp.md", f"if that saves at least {sharing.WORTH_WAITING} tokens"),
    ],
)
def test_a_number_is_that_of_the_code(page: str, sentence: str) -> None:
    assert sentence in one_line(read(page))


def test_what_a_stop_waits_for_adds_up_to_less_than_the_page_says() -> None:
    waits_s = Settings().drain_timeout_s + server.GRACE_S + lifecycle.END_GRACE_S
    assert waits_s < 3
    assert "within 3 s of the signal by default" in one_line(read("how-to/build-and-run.md"))


def test_the_llama_cpp_that_is_built_for_gpus_is_the_one_that_is_tested() -> None:
    (pin,) = re.findall(
        r"^llama-cpp-python==[\d.]+",
        (ROOT / "requirements" / "llama-cpp-python.txt").read_text(),
        re.MULTILINE,
    )
    assert f"--no-binary llama-cpp-python {pin}\n" in read("how-to/gpu.md")


def test_a_role_is_as_long_as_the_page_says() -> None:
    schema = chat_fields.ChatMessage.model_json_schema()["properties"]["role"]
    assert (schema["minLength"], schema["maxLength"]) == (1, 64)


def test_the_folders_are_searched_as_deep_as_the_page_says() -> None:
    words = {8: "eight"}
    said = f"Folders are searched {words[gguf_files.MAX_DEPTH]} levels deep"
    assert said in read("how-to/build-and-run.md")


def test_the_exit_codes_are_those_of_the_server() -> None:
    table = rows(section("how-to/build-and-run.md", "How it stops"))
    codes = {int(row[0]) for row in table if row[0].isdigit()}
    assert codes == {
        run.STOPPED,
        run.FAILED,
        2,
        server.NOT_STARTED,
        server.INTERNAL_ERROR,
    }


def test_the_limits_on_requests_are_the_defaults() -> None:
    units = {"KiB": 1 << 10, "MiB": MIB, "s": 1, "": 1}
    limits = rows(section("explanation/security.md", "What a request may be"))
    checked = 0
    for _what, value, setting, _response in limits[1:]:
        if name := setting.strip("`"):
            number, _, unit = value.partition(" ")
            default = getattr(DEFAULTS, name)
            assert float(number.replace(",", "")) * units[unit] == default, name
            checked += 1
    assert checked > 6


def test_the_environment_of_a_worker_is_told_in_full() -> None:
    (row,) = [
        row
        for row in rows(section("explanation/security.md", "Workers"))
        if row[0] == "environment"
    ]
    told = set(re.findall(r"`(\w+)`", row[1]))
    assert told == launch.KEPT_VARIABLES | set(launch.KEPT_PREFIXES)


def test_the_floors_are_those_that_are_declared() -> None:
    declared: dict[str, str] = {}
    for project in (ROOT, ROOT / "plugins" / "modeld-llama-cpp"):
        project_table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        for requirement in project_table["dependencies"]:
            name, _, floor = requirement.partition(">=")
            declared[name] = floor.partition(",")[0]
    _header, *floors = rows(section("explanation/security.md", "Floors"))
    for name, floor, _why in floors:
        assert declared[name.strip("`")] == floor
    assert {name.strip("`") for name, _, _ in floors} >= {"starlette", "uvicorn", "httptools"}


def test_what_is_locked_beside_the_floors_is_as_the_page_says() -> None:
    locked = (ROOT / "requirements" / "runtime.txt").read_text()
    (version,) = re.findall(r"^h11==([\d.]+)", locked, re.MULTILINE)
    assert f"`h11` comes with uvicorn and is locked at {version}" in read("explanation/security.md")
    assert "python-multipart" not in locked


@pytest.mark.model
def test_the_models_that_are_fetched_have_the_sizes_that_are_told() -> None:
    text = read("how-to/build-and-run.md")
    for name in (SMOLLM2, GEMMA3):
        assert f"{(models_folder() / name).stat().st_size:,} bytes" in text


def test_the_version_of_the_pages_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = [
        found for page in PAGES for found in re.findall(r"[Vv]ersion (\d[\d.]*\d)\b", read(page))
    ]
    assert set(said) == {version}


def test_markers_and_verbs_of_the_testing_page_exist() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    markers = [line.partition(":")[0] for line in options["ini_options"]["markers"]]
    table = rows(section("how-to/testing.md", "The suites"))
    listed = [row[0].strip("`") for row in table]
    assert set(markers) <= set(listed)
    folders = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if is_suite(path.name)}
    assert folders <= set(listed)


def is_suite(name: str) -> bool:
    folder = ROOT / "tests" / name
    return folder.is_dir() and any(folder.glob("*.py")) and name not in {"__pycache__", "support"}
