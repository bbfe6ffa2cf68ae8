# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modeld.errors import ConfigurationError
from modeld.settings import TABLE, Settings, resolve
from modeld.settings.setting import Setting

ROWS = {row.name: row for row in TABLE}

# One value of each setting that differs from its default, as a file would hold it.
OTHER: dict[str, Any] = {
    "addr": "127.0.0.1:9",
    "api_key_file": "keys",
    "insecure_no_auth": True,
    "cache_per_key": True,
    "trusted_hosts": ["models.example", "127.0.0.1"],
    "cors_origins": ["https://chat.example", "http://192.168.1.7:3000"],
    "cors_loopback": True,
    "readiness": "accepting",
    "max_body_bytes": 7,
    "max_header_bytes": 2048,
    "max_headers": 9,
    "max_connections": 3,
    "head_timeout_s": 1.5,
    "body_timeout_s": 2.5,
    "write_timeout_s": 3.5,
    "drain_timeout_s": 0.0,
    "models_dir": "./my models",
    "follow_links": False,
    "source_timeout_s": 0.5,
    "default_model": "ä.gguf",
    "memory_budget_mb": 2048,
    "memory_margin_mb": 64,
    "fit": False,
    "gpu_budget_mb": {"0": 8000, "1": 0},
    "share_machine": True,
    "eviction_policy": "mine",
    "max_idle_s": 600.0,
    "session_quota_mb": 7,
    "session_folder": "./my sessions",
    "models": {"tiny*": {"context": 512, "slots": 4}, "big.gguf": {"threads": 2}},
    "presets": {"calm": {"model": "big", "sampling": {"temperature": 0}}},
    "preload": ["big.gguf", "calm"],
    "max_queue_depth": 0,
    "max_wait_s": 0.25,
    "max_overtake_s": 0.0,
    "min_residence_s": 0.0,
    "engine_host": "thread",
    "warm_workers": 0,
    "load_timeout_s": 5.0,
    "stall_timeout_s": 6.0,
    "cancel_timeout_s": 7.0,
    "worker_memory_mb": 4096,
    "log_level": "off",
    "log_format": "json",
    "trace_file": "trace.jsonl",
    "trace_max_mb": 3,
    "block_plugins": ["lru", "sse"],
    "plugin_timeout_s": 1.0,
}


def as_text(value: Any) -> str:
    """Return a value as it is written in a flag or a variable."""
    if isinstance(value, bool | dict):
        return json.dumps(value)
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def as_toml(values: dict[str, Any]) -> str:
    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"
        return json.dumps(value, ensure_ascii=False)

    return "\n".join(f"{name} = {inline(value)}" for name, value in values.items())


WRITERS = {
    ".yaml": yaml.safe_dump,
    ".yml": yaml.safe_dump,
    ".json": json.dumps,
    ".toml": as_toml,
}


def write(folder: Path, text: str | bytes, suffix: str = ".yaml") -> str:
    path = folder / f"modeld{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def plain(settings: Settings, name: str) -> Any:
    value = getattr(settings, name)
    return list(value) if isinstance(value, tuple) else value


def test_the_table_has_every_field_with_help_and_a_default():
    assert [*ROWS, "plugins"] == list(Settings.__struct_fields__)
    assert list(ROWS) == list(OTHER)
    for row in TABLE:
        assert row.help, row.name
        assert row.help[0].islower() or row.help.startswith("/"), row.help
        assert not row.help.endswith("."), row.help
        assert row.default == getattr(Settings(), row.name)


def test_names_follow_from_the_field():
    row = ROWS["max_wait_s"]
    assert (row.flag, row.variable) == ("--max-wait-s", "MODELD_MAX_WAIT_S")


def test_choices_are_those_of_the_type():
    for row in TABLE:
        literal = get_args(row.type) if row.choices else ()
        assert row.choices == literal
        if row.choices:
            assert row.default in row.choices


def test_without_anything_all_values_are_defaults():
    result = resolve({}, {"PATH": "/bin", "HOME": "/root"})
    assert result.settings == Settings()
    assert set(result.origins.values()) == {"default"}
    assert set(result.origins) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_flag_sets_a_value(name):
    result = resolve({"memory_budget_mb": 4096, name: as_text(OTHER[name])}, {})
    assert plain(result.settings, name) == OTHER[name]
    assert result.origins[name] == f"flag {ROWS[name].flag}"


@pytest.mark.parametrize("name", ROWS)
def test_a_variable_sets_a_value(name):
    row = ROWS[name]
    result = resolve({}, {"MODELD_MEMORY_BUDGET_MB": "2048", row.variable: as_text(OTHER[name])})
    assert plain(result.settings, name) == OTHER[name]
    assert result.origins[name] == f"environment {row.variable}"


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_sets_every_value_in_every_format(suffix, tmp_path):
    config = write(tmp_path, WRITERS[suffix](OTHER), suffix)
    result = resolve({}, {}, config)
    assert {name: plain(result.settings, name) for name in ROWS} == OTHER
    assert set(result.origins.values()) == {f"file {config}"}


def test_the_seeds_example_file_is_read_in_all_formats(tmp_path):
    example = {
        "addr": ":8080",
        "models_dir": "~/models/llm",
        "memory_budget_mb": 20000,
        "memory_margin_mb": 1024,
        "default_model": "llama-3.1-8b-q4_k_m.gguf",
    }
    found = {
        resolve({}, {}, write(tmp_path, writer(example), suffix)).settings.default_model
        for suffix, writer in WRITERS.items()
    }
    assert found == {"llama-3.1-8b-q4_k_m.gguf"}


def test_a_flag_wins_over_a_variable_that_over_the_file_that_over_the_default(tmp_path):
    config = write(tmp_path, "max_wait_s: 1\nmax_overtake_s: 1\nmin_residence_s: 1.5\n")
    environ = {"MODELD_MAX_WAIT_S": "2", "MODELD_MAX_OVERTAKE_S": "2"}
    result = resolve({"max_wait_s": "3"}, environ, config)
    assert result.settings.max_wait_s == 3
    assert result.settings.max_overtake_s == 2
    assert result.settings.min_residence_s == 1.5
    assert result.settings.load_timeout_s == Settings().load_timeout_s
    assert result.origins["max_wait_s"] == "flag --max-wait-s"
    assert result.origins["max_overtake_s"] == "environment MODELD_MAX_OVERTAKE_S"
    assert result.origins["min_residence_s"] == f"file {config}"
    assert result.origins["load_timeout_s"] == "default"


def test_a_variable_names_the_file_and_a_flag_names_another(tmp_path):
    named = write(tmp_path, "addr: :1", ".yaml")
    other = write(tmp_path, '{"addr": ":2"}', ".json")
    environ = {"MODELD_CONFIG": named}
    assert resolve({}, environ).settings.addr == ":1"
    assert resolve({}, environ, other).settings.addr == ":2"
    assert resolve({}, {"MODELD_CONFIG": ""}).settings.addr == ":8080"


def test_an_empty_file_sets_nothing(tmp_path):
    for suffix, text in ((".yaml", "# nothing\n"), (".toml", ""), (".json", "{}")):
        assert resolve({}, {}, write(tmp_path, text, suffix)).settings == Settings()


def test_model_rows_keep_the_order_of_the_file(tmp_path):
    text = "models:\n  z*: {slots: 1}\n  a*: {slots: 2}\n  m*: {slots: 3}\n"
    settings = resolve({}, {}, write(tmp_path, text)).settings
    assert list(settings.models) == ["z*", "a*", "m*"]


BY_ITS_FORMER_NAME = {
    "file": lambda folder: resolve({}, {}, write(folder, "vram_budget_mb: 8GiB", ".yaml")),
    "variable": lambda _folder: resolve({}, {"MODELD_VRAM_BUDGET_MB": "8GiB"}),
}


@pytest.mark.parametrize("way", BY_ITS_FORMER_NAME)
def test_a_setting_is_known_by_its_former_name_too(way, tmp_path):
    result = BY_ITS_FORMER_NAME[way](tmp_path)
    assert result.settings.memory_budget_mb == 8192
    assert result.origins["memory_budget_mb"] != "default"
    assert not result.warnings


def test_both_names_of_a_setting_at_once_are_refused(tmp_path):
    config = write(tmp_path, '{"vram_margin_mb": 1, "memory_margin_mb": 2}', ".json")
    wanted = "vram_margin_mb is another name of memory_margin_mb; set one of them"
    assert refusal(config=config) == f"{config}: {wanted}"
    environ = {"MODELD_VRAM_MARGIN_MB": "1", "MODELD_MEMORY_MARGIN_MB": "2"}
    assert "MODELD_VRAM_MARGIN_MB is another name of MODELD_MEMORY_MARGIN_MB" in refusal(
        environ=environ
    )


def test_the_nearer_name_wins_whichever_it_is(tmp_path):
    config = write(tmp_path, "vram_budget_mb: 1", ".yaml")
    assert resolve({}, {"MODELD_MEMORY_BUDGET_MB": "2"}, config).settings.memory_budget_mb == 2


def refusal(flags: dict[str, object] | None = None, environ=None, config=None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve(flags or {}, environ or {}, config)
    return str(caught.value)


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_unknown_key_is_refused_with_the_nearest_one(suffix, tmp_path):
    config = write(tmp_path, WRITERS[suffix]({"max_queue_dept": 3}), suffix)
    message = refusal(config=config)
    assert message == f"{config}: unknown key 'max_queue_dept'; did you mean 'max_queue_depth'?"


def test_a_key_like_no_other_is_refused_without_a_guess(tmp_path):
    assert refusal(config=write(tmp_path, "zzz: 1")).endswith("unknown key 'zzz'")
    assert refusal(config=write(tmp_path, "1: 1")).endswith("unknown key '1'")


def test_an_unknown_variable_is_warned_of_with_the_nearest_one():
    (warning,) = resolve({}, {"MODELD_MAX_WAIT": "3"}).warnings
    assert "MODELD_MAX_WAIT is no setting and is ignored" in warning
    assert "did you mean 'MODELD_MAX_WAIT_S'?" in warning


def test_a_service_of_our_name_in_kubernetes_does_not_stop_the_start():
    environ = {"MODELD_PORT": "tcp://10.0.0.1:80", "MODELD_SERVICE_HOST": "10.0.0.1"}
    assert len(resolve({}, environ).warnings) == 2


def test_other_programs_variables_are_none_of_our_business():
    resolve({}, {"MODELDX": "1", "_MODELD_COMPLETE": "bash_source", "NOT_MODELD_ADDR": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("addr", 8080),
        ("addr", None),
        ("insecure_no_auth", "true"),
        ("insecure_no_auth", 1),
        ("max_queue_depth", 1.5),
        ("max_queue_depth", "3"),
        ("max_queue_depth", True),
        ("max_wait_s", "3"),
        ("max_wait_s", [3]),
        ("block_plugins", "lru"),
        ("block_plugins", [1]),
        ("models", []),
        ("models", {"a": 1}),
        ("models", {"a": None}),
        ("readiness", "Instance"),
    ],
)
def test_a_file_with_a_value_of_the_wrong_type_is_refused(name, value, tmp_path):
    config = write(tmp_path, json.dumps({name: value}), ".json")
    message = refusal(config=config)
    assert message.startswith(f"{config}: {name}"), message
    assert "expected" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_queue_depth", "many"),
        ("max_queue_depth", "1.5"),
        ("max_queue_depth", " "),
        ("max_queue_depth", "-1"),
        ("warm_workers", "17"),
        ("max_wait_s", "0"),
        ("max_wait_s", "nan"),
        ("max_wait_s", "-inf"),
        ("max_wait_s", "inf"),
        ("drain_timeout_s", "-0.1"),
        ("insecure_no_auth", "perhaps"),
        ("insecure_no_auth", "yes"),
        ("log_level", "warn"),
        ("models", "{"),
        ("models", "[]"),
        ("models", '{"a": {"context": NaN}}'),
    ],
)
def test_text_that_is_no_such_value_is_refused_with_its_origin(name, text):
    row = ROWS[name]
    assert refusal({name: text}).startswith(f"{row.flag}: ")
    assert refusal(environ={row.variable: text}).startswith(f"{row.variable}: ")


def test_a_refused_choice_names_the_choices():
    assert refusal({"log_level": "warn"}) == (
        "--log-level: expected one of off, error, info, debug, got 'warn'"
    )


def test_the_refusal_names_the_setting_for_programs_too():
    with pytest.raises(ConfigurationError) as caught:
        resolve({}, {"MODELD_MAX_WAIT_S": "soon"})
    assert caught.value.field == "max_wait_s"


def test_off_means_off_in_yaml_too(tmp_path):
    # YAML 1.1 reads the bare word as a boolean.
    assert resolve({}, {}, write(tmp_path, "log_level: off")).settings.log_level == "off"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)],
)
def test_a_switch_can_be_written_in_the_usual_ways(text, expected):
    assert resolve({}, {"MODELD_INSECURE_NO_AUTH": text}).settings.insecure_no_auth is expected


def test_a_list_in_text_is_separated_by_commas():
    settings = resolve({"block_plugins": " lru, sse ,,"}, {}).settings
    assert settings.block_plugins == ("lru", "sse")
    assert resolve({"block_plugins": ""}, {}).settings.block_plugins == ()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".yaml", "a: [b"),
        (".yaml", "- addr"),
        (".yaml", b"\xff\xfe\x00"),
        (".yaml", "a: &x [*x"),
        (".yaml", "[" * 5000),
        (".json", ""),
        (".json", "[]"),
        (".json", '{"addr": ":1",}'),
        (".json", b"\xff"),
        (".json", "[" * 5000),
        (".toml", "addr = "),
        (".toml", b"\xff"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused_by_name(suffix, content, tmp_path):
    config = write(tmp_path, content, suffix)
    assert refusal(config=config).startswith(f"{config}: ")


def test_a_file_of_an_unknown_kind_is_refused_with_the_known_ones(tmp_path):
    config = write(tmp_path, "", ".ini")
    assert refusal(config=config).endswith("use .yaml, .yml, .json or .toml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    missing = str(tmp_path / "none.yaml")
    assert refusal(config=missing) == f"{missing}: cannot be read: No such file or directory"
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in refusal(config=str(tmp_path / "folder.yaml"))


def test_a_file_is_found_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "addr: :7")
    assert resolve({}, {}, "~/modeld.yaml").settings.addr == ":7"


NUMBER = "expected auto, a whole number of MiB of 0 or more, or a size with its unit such as 8GiB"
BYTES = "expected a whole number of bytes of 1 or more, or a size with its unit such as 512KiB"
MODELS = 'expected a table of options for each model such as {"tiny.gguf": {"context": 4096}}'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("memory_budget_mb", "8GB", f"{NUMBER}, got '8GB'"),
        ("memory_budget_mb", "-1", f"{NUMBER}, got '-1'"),
        ("memory_budget_mb", "1K", f"{NUMBER}, got '1K'"),
        ("memory_budget_mb", "lots", f"{NUMBER}, got 'lots'"),
        (
            "max_body_bytes",
            "0",
            f"{BYTES}, got '0'",
        ),
        ("warm_workers", "17", "expected a whole number from 0 to 16, got '17'"),
        ("warm_workers", "1.5", "expected a whole number from 0 to 16, got '1.5'"),
        ("max_queue_depth", "8G", "expected a whole number of 0 or more, got '8G'"),
        ("max_wait_s", "2m", "expected a number of seconds above 0 such as 120, got '2m'"),
        ("max_wait_s", "nan", "expected a number of seconds above 0 such as 120, got 'nan'"),
        ("insecure_no_auth", "yes", "expected true or false, got 'yes'"),
        ("engine_host", "moon", "expected one of process, thread, got 'moon'"),
        ("models", "[]", f"{MODELS}, got a list"),
        ("models", "{", f"{MODELS}; it ends too early"),
        ("models", '{"a": {"x": 1e400}}', f"{MODELS}; number out of range"),
        ("models", '{"a": {}, "a": {}}', "the key 'a' stands twice; keep one"),
        ("models", '{"a": {"x": [{"y": 1}], "x": 2}}', "the key 'x' stands twice; keep one"),
        ("models", "{]", f"{MODELS}; object keys must be strings in line 1, column 2"),
        ("models", '{"a": \udcff}', f"{MODELS}; it is not UTF-8"),
    ],
)
def test_a_value_that_is_refused_is_told_what_was_expected(name, text, said):
    assert refusal({name: text}) == f"{ROWS[name].flag}: {said}"
    assert refusal(environ={ROWS[name].variable: text}) == f"{ROWS[name].variable}: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memory_budget_mb: 8GB", f"memory_budget_mb: {NUMBER}, got '8GB'"),
        ("memory_budget_mb: true", f"memory_budget_mb: {NUMBER}, got true"),
        ("memory_budget_mb:", f"memory_budget_mb: {NUMBER}, got nothing"),
        ("addr: 8080", "addr: expected text, got 8080"),
        ("models_dir: ''", "models_dir: expected text that is not empty, got ''"),
        (
            "block_plugins: lru",
            "block_plugins: expected a list of names, in text with commas between them, got 'lru'",
        ),
        ("models: [a]", f"models: {MODELS}, got a list"),
        ("models: {1: {}}", "models: expected ids or patterns of models as keys, got 1"),
        (
            "models: {a: 3}",
            "models['a']: expected a table of options such as {\"context\": 4096}, got 3",
        ),
        (
            "addr: [",
            "not valid YAML in line 1: expected the node content, but found '<stream end>'",
        ),
        ("a: 1\n  b: 2", "not valid YAML in line 2: mapping values are not allowed here"),
        ("a: 1\naddr: 2020-13-45", "not valid YAML in line 2: '2020-13-45' is no timestamp"),
        ("max_wait_s: !!float x", "not valid YAML in line 1: 'x' is no float"),
        ("insecure_no_auth: !!bool x", "not valid YAML in line 1: 'x' is no bool"),
        ("models: {2020-02-31: {}}", "not valid YAML in line 1: '2020-02-31' is no timestamp"),
        ("addr: !!timestamp x", "not valid YAML in line 1: 'x' is no timestamp"),
    ],
)
def test_a_file_that_is_refused_is_told_what_was_expected(text, said, tmp_path):
    config = write(tmp_path, text)
    assert refusal(config=config) == f"{config}: {said}"


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (".yaml", f"max_headers: {'9' * 5000}", "is no int"),
        (".toml", f"max_headers = {'9' * 5000}", "not valid TOML: a number is too long"),
        (".json", f'{{"max_headers": {"9" * 5000}}}', "not valid JSON: integer value out of range"),
    ],
)
def test_a_number_with_too_many_digits_is_refused(suffix, text, said, tmp_path):
    file = tmp_path / f"modeld{suffix}"
    file.write_text(text)
    assert said in refusal(config=str(file))


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (
            ".yaml",
            "addr: :1\nreadiness: accepting\naddr: :2",
            "'addr' stands twice, in lines 1 and 3",
        ),
        (".yaml", "{addr: a, 'addr': b}", "'addr' stands twice, in line 1"),
        (
            ".yaml",
            "models:\n  a: {slots: 1}\n  a: {slots: 2}",
            "'a' stands twice, in lines 2 and 3",
        ),
        (".yaml", "models: {a: {1: 1, 1: 2}}", "'1' stands twice, in line 1"),
        (".json", '{"addr": ":1",\n"addr": ":2"}', "'addr' stands twice, in lines 1 and 2"),
        (".json", '{"addr": ":1", "\\u0061ddr": ":2"}', "'addr' stands twice, in line 1"),
        (
            ".json",
            '{"models": {"{\\"": [{"a": 1}, {"a": 2}],\n\n"b": {"x": 1, "x": 2}}}',
            "'x' stands twice, in line 3",
        ),
        (".toml", "addr = 'a'\naddr = 'b'", "'addr' stands twice, in lines 1 and 2"),
        (
            ".toml",
            "[models.a]\nx = 1\n[models.b]\nx = 1\nx = 2",
            "'x' stands twice, in lines 4 and 5",
        ),
        (".toml", "[models.a]\n[models.a]", "'models.a' stands twice, in lines 1 and 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(suffix, text, said, tmp_path):
    config = write(tmp_path, text, suffix)
    assert refusal(config=config) == f"{config}: the key {said}; keep one"


def test_yaml_may_still_merge_what_it_names_again(tmp_path):
    text = "models:\n  a: &a {slots: 1}\n  b:\n    <<: *a\n    slots: 2\n"
    assert resolve({}, {}, write(tmp_path, text)).settings.models["b"] == {"slots": 2}


def test_a_budget_is_a_size_or_the_word_auto(tmp_path):
    assert Settings().is_budget_auto
    for budget_mb, size_bytes in (("auto", None), (0, None), (3, 3 << 20)):
        for result in (
            resolve({"memory_budget_mb": str(budget_mb)}, {}),
            resolve({}, {"MODELD_MEMORY_BUDGET_MB": str(budget_mb)}),
            resolve({}, {}, write(tmp_path, f"memory_budget_mb: {budget_mb}")),
        ):
            assert result.settings.memory_budget_mb == budget_mb
            assert result.settings.budget_bytes == size_bytes
            assert result.settings.is_budget_auto is (budget_mb == "auto")


@pytest.mark.parametrize(
    ("text", "budget_mb"),
    [
        ("8GiB", 8192),
        ("8G", 8192),
        ("8g", 8192),
        ("1.5 GiB", 1536),
        ("512M", 512),
        ("1024K", 1),
        ("1T", 1 << 20),
        ("300", 300),
    ],
)
def test_a_size_may_have_a_unit(text, budget_mb, tmp_path):
    assert resolve({"memory_budget_mb": text}, {}).settings.memory_budget_mb == budget_mb
    assert resolve({}, {"MODELD_MEMORY_BUDGET_MB": text}).settings.memory_budget_mb == budget_mb
    config = write(tmp_path, f"memory_budget_mb: {text}")
    assert resolve({}, {}, config).settings.memory_budget_mb == budget_mb


def test_a_size_in_bytes_may_have_a_unit():
    assert resolve({"max_body_bytes": "2MiB"}, {}).settings.max_body_bytes == 2 << 20


@pytest.mark.parametrize("name", ROWS)
def test_an_empty_variable_counts_as_unset(name, tmp_path):
    config = write(tmp_path, json.dumps({name: OTHER[name]} | {"memory_budget_mb": 2048}), ".json")
    result = resolve({}, {ROWS[name].variable: ""}, config)
    assert plain(result.settings, name) == ({"memory_budget_mb": 2048} | {name: OTHER[name]})[name]
    assert result.origins[name] == f"file {config}"


def message_of(config: str) -> str:
    """Return what is wrong with a file, if anything is."""
    try:
        resolve({}, {}, config)
    except ConfigurationError as exc:
        return exc.message
    return ""


def test_no_message_of_a_library_reaches_a_person(tmp_path):
    """Whatever a value is: it is told in words, not with a library's type names."""
    values = [None, True, 1, 1.5, "x", "", [], [1], {}, {"a": 1}, 1 << 70, -1]
    said = [
        message_of(write(tmp_path, json.dumps({name: value}), ".json"))
        for name in ROWS
        for value in values
    ]
    assert sum(bool(message) for message in said) > len(ROWS)
    assert not [message for message in said if "`" in message or "$" in message]


@pytest.mark.parametrize(("budget", "margin"), [(100, 100), (100, 101)])
def test_a_margin_that_leaves_nothing_of_the_budget_is_refused(budget, margin):
    message = refusal({"memory_budget_mb": budget, "memory_margin_mb": margin})
    assert str(budget) in message
    assert str(margin) in message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gpu_budget_mb": 100, "memory_margin_mb": 100}, "leaves nothing of gpu_budget_mb (100)"),
        ({"gpu_budget_mb": {"1": 50}, "memory_margin_mb": 60}, "nothing of gpu_budget_mb (50)"),
        ({"gpu_budget_mb": {"gpu0": 50}}, "'gpu0' is no GPU's number"),
        ({"gpu_budget_mb": {"01": 50}}, "'01' is no GPU's number"),
        (
            {"gpu_budget_mb": {"0": -1}},
            "--gpu-budget-mb['0']: expected a whole number of 0 or more",
        ),
        ({"gpu_budget_mb": "much"}, "--gpu-budget-mb: expected"),
    ],
)
def test_a_budget_of_gpus_that_is_none_is_refused(given, says):
    assert says in refusal(given)


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        ("auto", ["auto", "auto"]),
        ("7", [7 << 20, 7 << 20]),
        ("0", [None, None]),
        ('{"0": 7}', [7 << 20, "auto"]),
    ],
)
def test_the_budget_of_gpus_is_one_for_all_or_a_table(text, budgets):
    settings = resolve({}, {"MODELD_GPU_BUDGET_MB": text}).settings
    assert [settings.gpu_budget_bytes(gpu) for gpu in ("gpu0", "gpu1")] == budgets


def test_a_number_as_a_key_in_yaml_is_a_gpus_number(tmp_path):
    config = write(tmp_path, "gpu_budget_mb: {0: 5, 1: 6}\nmemory_margin_mb: 1\n")
    settings = resolve({}, {"MODELD_CONFIG": str(config)}).settings
    assert settings.gpu_budget_mb == {"0": 5, "1": 6}


def test_budget_and_margin_are_in_mebibytes():
    settings = resolve({"memory_budget_mb": 3, "memory_margin_mb": 1}, {}).settings
    assert (settings.budget_bytes, settings.margin_bytes) == (3 << 20, 1 << 20)
    assert resolve({"memory_margin_mb": 1}, {}).settings.budget_bytes is None


WORDS = st.text("abcdefgh-_.", min_size=1, max_size=8)
OPTIONS = st.dictionaries(WORDS, st.booleans() | st.integers(0, 9), max_size=2)


def values_of(row: Setting) -> st.SearchStrategy[Any]:
    """Values that the setting allows, as a file would hold them."""
    if row.choices:
        return st.sampled_from(row.choices)
    if row.words:
        return st.sampled_from(row.words) | st.integers(0, 1 << 40)
    meta = row.annotated.__metadata__[0]
    of_type = {
        bool: st.booleans(),
        int: st.integers(meta.ge or 0, meta.le or 1 << 40),
        float: st.floats(0, 1e9, exclude_min=meta.gt is not None, allow_subnormal=False),
        tuple: st.lists(WORDS, max_size=3),
        dict: st.dictionaries(WORDS, OPTIONS, max_size=2),
        str: WORDS,
    }
    return of_type[type(row.default)]


@st.composite
def some_settings(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.sets(st.sampled_from(sorted(ROWS)), max_size=6))
    found = {name: draw(values_of(ROWS[name])) for name in sorted(names)}
    # The margin is checked against the budget, and presets have rules; these have their own tests.
    ruled = {"memory_margin_mb", "presets"}
    return {name: value for name, value in found.items() if name not in ruled}


@given(in_file=some_settings(), in_environ=some_settings(), in_flags=some_settings())
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_value_comes_from_its_strongest_origin(in_file, in_environ, in_flags, tmp_path):
    config = write(tmp_path, json.dumps(in_file), ".json")
    in_environ = {name: value for name, value in in_environ.items() if as_text(value)}
    environ = {ROWS[name].variable: as_text(value) for name, value in in_environ.items()}
    flags = {name: as_text(value) for name, value in in_flags.items()}
    result = resolve(flags, environ, config)
    for name, row in ROWS.items():
        origins = ((in_flags, "flag"), (in_environ, "environment"), (in_file, "file"))
        expected = next(
            ((values[name], origin) for values, origin in origins if name in values),
            (plain(Settings(), name), "default"),
        )
        found = plain(result.settings, name), result.origins[name].split()[0]
        assert found == expected, row.name


@given(values=some_settings())
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_means_the_same_in_every_format(values, tmp_path):
    found = [
        resolve({}, {}, write(tmp_path, writer(values), suffix)).settings
        for suffix, writer in WRITERS.items()
    ]
    assert all(each == found[0] for each in found)
    assert all(
        math.isfinite(value)
        for value in (getattr(found[0], name) for name in ROWS)
        if isinstance(value, float)
    )
