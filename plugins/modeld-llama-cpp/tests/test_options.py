# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from modeld_llama_cpp.options import LlamaOptions, LoraAdapter


def convert(**fields: object) -> LlamaOptions:
    return msgspec.convert(fields, LlamaOptions)


def refusal(**fields: object) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        convert(**fields)
    return str(caught.value)


def test_a_step_has_a_token_for_every_slot() -> None:
    assert LlamaOptions().step_tokens == 512
    assert LlamaOptions(slots=200, ubatch=128).step_tokens == 200
    assert LlamaOptions(batch=512, ubatch=64).step_tokens == 512


def test_nothing_but_defaults_is_valid() -> None:
    assert convert() == LlamaOptions()


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": 0},
        {"slots": 257},
        {"max_idle_s": -1},
        {"context": 0},
        {"batch": -1},
        {"ubatch": 0},
        {"threads": 0},
        {"threads_batch": 0},
        {"gpu_layers": -1},
        {"main_gpu": -1},
        {"split_mode": "half"},
        {"tensor_split": [1, -1]},
        {"tensor_split": "1,1"},
        {"cache_type_k": "q2_k"},
        {"cache_type_v": "f8"},
        {"flash_attention": True},
        {"mmap": "yes"},
        {"mlock": 1},
        {"rope_scaling": "dynamic"},
        {"rope_freq_base": 0},
        {"rope_freq_scale": -0.5},
        {"yarn_ext_factor": -1.0},
        {"yarn_attn_factor": "1"},
        {"yarn_beta_fast": -1},
        {"yarn_beta_slow": -1},
        {"yarn_orig_ctx": 0},
        {"lora": ["a.gguf"]},
        {"lora": [{"path": "a.gguf", "weight": 1.0}]},
        {"lora": [{"scale": 1.0}]},
        {"chat_template": 1},
        {"chat_template_file": 1},
        {"embeddings": "on"},
        {"pooling": "max"},
        {"cache_tokens": -1},
        {"draft_tokens": 65},
        {"contxt": 4096},
    ],
)
def test_a_wrong_option_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"{next(iter(wrong))}"):
        msgspec.convert(wrong, LlamaOptions)


@pytest.mark.parametrize("name", ["rope_freq_base", "rope_freq_scale", "yarn_attn_factor"])
def test_a_number_that_is_not_finite_is_refused(name: str) -> None:
    assert refusal(**{name: float("inf")}) == f"{name} is inf; it must be a finite number"
    assert name in refusal(**{name: float("nan")})


def test_numbers_inside_lists_must_be_finite_too(scripted: Path) -> None:
    assert refusal(tensor_split=[1, float("inf")]).startswith("tensor_split[1] is inf")
    lora = [{"path": str(scripted)}, {"path": str(scripted), "scale": float("nan")}]
    assert refusal(lora=lora).startswith("lora[1].scale is nan")


def test_every_slot_needs_a_token_of_the_context() -> None:
    assert convert(context=16, slots=16).slots == 16
    assert refusal(context=16, slots=17) == (
        "context is 16, fewer tokens than there are slots (17)"
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tensor_split": [0, 0]}, "gives no GPU a share"),
        ({"tensor_split": [1, 1], "gpu_layers": 0}, "but gpu_layers is 0"),
        ({"tensor_split": [1, 1], "split_mode": "none"}, "but split_mode is 'none'"),
    ],
)
def test_a_split_without_gpus_to_split_among_is_refused(
    options: dict[str, object], why: str
) -> None:
    said = refusal(**options)
    assert said.startswith("tensor_split ")
    assert said.find(why) > 0


def test_a_split_among_gpus_is_taken() -> None:
    assert convert(tensor_split=[3, 1.5], gpu_layers=10).tensor_split == (3.0, 1.5)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"])
def test_quantised_values_need_flash_attention(kind: str) -> None:
    assert refusal(cache_type_v=kind, flash_attention="off") == (
        f"cache_type_v '{kind}' needs flash attention, but flash_attention is 'off'"
    )
    for attention in ("auto", "on"):
        assert convert(cache_type_v=kind, flash_attention=attention).cache_type_v == kind


def test_quantised_keys_and_other_values_do_not_need_it() -> None:
    for kind in ("f16", "f32", "bf16"):
        convert(cache_type_k="q8_0", cache_type_v=kind, flash_attention="off")


@pytest.mark.parametrize(
    "name",
    ["yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_orig_ctx"],
)
def test_what_belongs_to_yarn_needs_yarn(name: str) -> None:
    assert getattr(convert(**{name: 1}), name) == 1
    assert getattr(convert(**{name: 1}, rope_scaling="yarn"), name) == 1
    for scaling in ("none", "linear", "longrope"):
        assert refusal(**{name: 1}, rope_scaling=scaling) == (
            f"{name} needs rope_scaling 'yarn', not '{scaling}'"
        )


def test_a_scale_without_scaling_is_refused() -> None:
    assert convert(rope_freq_scale=0.5, rope_scaling="linear").rope_freq_scale == 0.5
    assert refusal(rope_freq_scale=0.5, rope_scaling="none").startswith("rope_freq_scale ")


def test_pooling_without_embeddings_is_refused() -> None:
    assert convert(pooling="mean").embeddings is None
    assert convert(pooling="mean", embeddings=True).pooling == "mean"
    assert refusal(pooling="mean", embeddings=False).startswith("pooling ")


def test_a_template_comes_from_one_place(scripted: Path) -> None:
    assert refusal(chat_template="x", chat_template_file=str(scripted)) == (
        "chat_template and chat_template_file are both set; set one of them"
    )


def test_files_that_are_there_are_taken(scripted: Path, tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ 1 }}", encoding="utf-8")
    options = convert(
        lora=[{"path": str(scripted)}, {"path": str(scripted), "scale": -0.5}],
        chat_template_file=str(tmp_path / "own.jinja"),
    )
    assert options.lora == (
        LoraAdapter(path=str(scripted)),
        LoraAdapter(path=str(scripted), scale=-0.5),
    )


def test_a_missing_file_names_itself_and_its_option(scripted: Path, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.gguf")
    assert refusal(lora=[{"path": str(scripted)}, {"path": gone}]) == (
        f"lora[1].path: there is no file {gone!r}"
    )
    assert refusal(chat_template_file=gone) == f"chat_template_file: there is no file {gone!r}"
    assert "there is no file" in refusal(chat_template_file=str(tmp_path))


def test_a_path_that_cannot_be_one_is_refused() -> None:
    assert "chat_template_file: " in refusal(chat_template_file="a\0b")
    assert "chat_template_file: " in refusal(chat_template_file="a" * 5000)


def test_a_path_may_begin_at_home(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scripted.parent))
    convert(lora=[{"path": f"~/{scripted.name}"}])


def test_options_survive_the_way_to_the_worker(scripted: Path) -> None:
    options = LlamaOptions(
        lora=(LoraAdapter(path=str(scripted)),), tensor_split=(1.0,), cache_tokens=0
    )
    assert msgspec.convert(msgspec.to_builtins(options), LlamaOptions) == options
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(options), type=LlamaOptions) == options


def test_the_readme_lists_every_option_with_what_it_means() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", readme, re.MULTILINE)
    hints = get_type_hints(LlamaOptions, include_extras=True)
    assert listed == [
        (name, get_args(hints[name])[-1].description) for name in LlamaOptions.__struct_fields__
    ]
