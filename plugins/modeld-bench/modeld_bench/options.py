# SPDX-License-Identifier: GPL-3.0-only
"""The command-line options that say what is to be measured."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from modeld_bench.apis.api import Wish
from modeld_bench.level import MAX_REQUESTS
from modeld_bench.plan import LEAST_REQUESTS, ROUNDS, Plan
from modeld_bench.prompts import Prompts, Text, Words

F = TypeVar("F", bound=Callable[..., Any])

MAX_CLIENTS: Final = 256
MAX_LEVELS: Final = 16
MAX_PROMPT_TOKENS: Final = 131_072
MAX_PROMPT_BYTES: Final = 4 << 20
DEFAULT_PROMPT_TOKENS: Final = 128
APIS: Final = ("modeld", "openai")

_AUTO: Final = "auto"
_SEEDS: Final = 2**32 - 2


def levels_of(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the numbers of clients that stand between commas, in the order given.

    Raises:
        BadParameter: they are no such numbers, out of range, or too many.
    """
    words = [word.strip() for word in value.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,4,16", ctx, param)
    levels = tuple(map(int, words))
    if not all(1 <= level <= MAX_CLIENTS for level in levels):
        raise click.BadParameter(f"{value!r}: each number is from 1 to {MAX_CLIENTS}", ctx, param)
    if len(set(levels)) < len(levels) or len(levels) > MAX_LEVELS:
        said = f"{value!r}: at most {MAX_LEVELS} numbers, no two alike"
        raise click.BadParameter(said, ctx, param)
    return levels


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Return the number; ``nan`` is none, although every comparison with a range lets it pass.

    Raises:
        BadParameter: it is ``nan``.
    """
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", ctx, param)
    return value


def url_of(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the address of a server, without slashes and the /v1 of OpenAI's clients at its end.

    Raises:
        BadParameter: it is none, or has a key, a query or a fragment in it.
    """
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not value.isascii() or not value.isprintable() or " " in value:
        said = f"{value!r} is not a URL such as http://127.0.0.1:8080"
        raise click.BadParameter(said, ctx, param)
    if "@" in parts.netloc:
        raise click.BadParameter("a key or password does not belong on a command line", ctx, param)
    if "?" in value or "#" in value:
        raise click.BadParameter(f"{value!r} has a query or a fragment", ctx, param)
    return value.rstrip("/").removesuffix("/v1").rstrip("/")


_OPTIONS: Final = (
    click.option("--model", metavar="ID", help="model to ask for; default: the only one there is"),
    click.option(
        "--api",
        type=click.Choice([_AUTO, *APIS]),
        default=_AUTO,
        show_default=True,
        help="API of the server; auto asks it",
    ),
    click.option(
        "--concurrency",
        metavar="NUMBERS",
        callback=levels_of,
        default="1,4,16",
        show_default=True,
        help="clients at once, one level for each number",
    ),
    click.option(
        "--requests",
        type=click.IntRange(1, MAX_REQUESTS),
        help=f"requests in each level; default: {ROUNDS} for each client, at least"
        f" {LEAST_REQUESTS}",
    ),
    click.option(
        "--duration-s",
        type=click.FloatRange(0, 3600, min_open=True),
        metavar="NUMBER",
        callback=finite,
        help="seconds of each level, in place of --requests",
    ),
    click.option("--prompt", metavar="TEXT", help="prompt of every request"),
    click.option(
        "--prompt-file",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="file with the prompt of every request",
    ),
    click.option(
        "--prompt-tokens",
        type=click.IntRange(1, MAX_PROMPT_TOKENS),
        help="make prompts of about this many tokens, each its own; the default, with"
        f" {DEFAULT_PROMPT_TOKENS}",
    ),
    click.option(
        "--shared-prefix",
        metavar="TOKENS",
        type=click.IntRange(0, MAX_PROMPT_TOKENS),
        default=0,
        help="so many tokens at the beginning of these are common to all",
    ),
    click.option(
        "--prompt-seed",
        type=click.IntRange(0, _SEEDS),
        help="makes the same prompts again; default: new ones in each run",
    ),
    click.option("--chat", is_flag=True, help="send prompts as chat messages"),
    click.option(
        "--max-tokens",
        type=click.IntRange(1, 1_000_000),
        default=64,
        show_default=True,
        help="longest generation, in tokens",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(0, 5),
        metavar="NUMBER",
        callback=finite,
        default=0.0,
        help="0, the default: always the likeliest token",
    ),
    click.option("--seed", type=click.IntRange(0, _SEEDS), help="makes sampling repeatable"),
    click.option(
        "--ignore-eos",
        is_flag=True,
        help="go on where the model would end, so that all generations are equally long; modeld,"
        " llama-server and vLLM can",
    ),
    click.option(
        "--timeout-s",
        type=click.FloatRange(0, 86_400, min_open=True),
        metavar="NUMBER",
        callback=finite,
        default=600.0,
        show_default=True,
        help="longest time for a request, in seconds",
    ),
    click.option(
        "--warmup",
        type=click.IntRange(0, 100),
        default=1,
        show_default=True,
        help="requests before the measurement, which load the model",
    ),
)


def benchmark_options(function: F) -> F:
    """Decorate a command with the options; :func:`plan_of` puts their values together."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def plan_of(url: str, given: Mapping[str, Any]) -> Plan:
    """Return what the command was given, as a value.

    Raises:
        UsageError: options contradict each other, or the prompt cannot be used.
    """
    if given["requests"] is not None and given["duration_s"] is not None:
        raise click.UsageError("give --requests or --duration-s, not both")
    return Plan(
        url=url,
        api=None if given["api"] == _AUTO else given["api"],
        wish=Wish(
            model=given["model"],
            max_tokens=given["max_tokens"],
            temperature=given["temperature"],
            seed=given["seed"],
            ignore_eos=given["ignore_eos"],
            chat=given["chat"],
        ),
        prompts=_prompts(given),
        concurrency=given["concurrency"],
        requests=given["requests"],
        duration_s=given["duration_s"],
        warmup=given["warmup"],
        timeout_s=given["timeout_s"],
    )


def _prompts(given: Mapping[str, Any]) -> Prompts:
    kinds = ("prompt", "prompt_file", "prompt_tokens")
    chosen = [name for name in kinds if given[name] is not None]
    if len(chosen) > 1:
        raise click.UsageError("give one of --prompt, --prompt-file and --prompt-tokens")
    if chosen and chosen != ["prompt_tokens"]:
        if given["shared_prefix"]:
            raise click.UsageError("--shared-prefix is for prompts that are made, not given ones")
        return _text(given["prompt"], given["prompt_file"])
    tokens = given["prompt_tokens"] or DEFAULT_PROMPT_TOKENS
    if given["shared_prefix"] >= tokens:
        raise click.UsageError(
            f"--shared-prefix {given['shared_prefix']} leaves nothing of a prompt of {tokens}"
            " tokens; set --prompt-tokens higher"
        )
    seed = given["prompt_seed"]
    return Words(
        tokens=tokens,
        shared=given["shared_prefix"],
        seed=random.SystemRandom().randrange(_SEEDS) if seed is None else seed,
    )


def _text(prompt: str | None, file: str | None) -> Text:
    if prompt is None:
        assert file is not None
        prompt = _read(file)
    if not prompt.strip():
        raise click.UsageError("the prompt is empty")
    return Text(text=prompt)


def _read(file: str) -> str:
    path = Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_PROMPT_BYTES + 1)
        text = data.decode()
    except OSError as exc:
        raise click.UsageError(f"--prompt-file: {file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"--prompt-file: {file} is not text in UTF-8") from exc
    if len(data) > MAX_PROMPT_BYTES:
        raise click.UsageError(f"--prompt-file: {file} is longer than {MAX_PROMPT_BYTES} bytes")
    return text
