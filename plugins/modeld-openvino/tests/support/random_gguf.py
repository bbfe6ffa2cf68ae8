# SPDX-License-Identifier: GPL-3.0-only
"""Writes tiny random models that OpenVINO loads in a second or two.

Their vocabulary has one token for each byte, as byte-level BPE spells it, one for ``th``, and three
special ones.
What they write makes no sense, but it depends on the whole prompt. The likeliest token is never a
part of a character.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

END, USER, MODEL = range(3)
SPECIALS = ("<|end|>", "<|user|>", "<|model|>")
FIRST_BYTE = len(SPECIALS)
WIDTH, HEADS, FEED, LAYERS, CONTEXT = 64, 2, 128, 2, 8192
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|model|>' }}{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|model|>{% endif %}"
)


def byte_tokens() -> list[str]:
    """Return how byte-level BPE writes the bytes, in their order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(moved)) for byte in range(256)]


def write(path: Path, *, template: str | None = TEMPLATE, without: str = "") -> Path:
    """Write a model of the family llama with random weights and return its path.

    ``without`` names a tensor that is left out.
    """
    random = np.random.default_rng(7)
    tokens = [*SPECIALS, *byte_tokens(), "th"]
    writer = gguf.GGUFWriter(path, "llama")
    _write_header(writer)
    _write_vocabulary(writer, tokens)
    if template is not None:
        writer.add_chat_template(template)

    def add(name: str, *shape: int) -> None:
        values = random.normal(0, 1 / np.sqrt(shape[-1]), shape)
        if name == "output":
            values[FIRST_BYTE + 0x80 : FIRST_BYTE + 0x100] = 0
        if name != without:
            writer.add_tensor(f"{name}.weight", values.astype(np.float16))

    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    add("token_embd", len(tokens), WIDTH)
    add("output", len(tokens), WIDTH)
    for block in map("blk.{}".format, range(LAYERS)):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{norm}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        add(f"{block}.ffn_gate", FEED, WIDTH)
        add(f"{block}.ffn_up", FEED, WIDTH)
        add(f"{block}.ffn_down", WIDTH, FEED)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_header(writer: gguf.GGUFWriter) -> None:
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)


def _write_vocabulary(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_vocab_size(len(tokens))
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control] * len(SPECIALS) + [normal] * (len(tokens) - len(SPECIALS)))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_add_bos_token(value=False)
