# SPDX-License-Identifier: GPL-3.0-only
"""All settings in one table, and where each value came from.

The table is :class:`Settings` itself: a field's annotation gives its type, range and help text,
and its name gives the flag (``--max-wait-s``), the variable (``MODELD_MAX_WAIT_S``) and the key in
the file (``max_wait_s``). A flag wins over the environment, that over the file, that over the
default.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from modeld.errors import ConfigurationError
from modeld.values import Value

ENV_PREFIX = "MODELD_"

_OTHER_VARIABLES = ("CONFIG", "BENCH_API_KEY")  # read elsewhere, so no settings and no mistakes

ModelOptions = dict[str, dict[str, Any]]  # the values are JSON; each backend knows their types


class Settings(Value, frozen=True, kw_only=True):
    """Everything that can be set. Durations are in seconds, sizes as the name says."""

    # Server
    addr: Annotated[
        str, Meta(description="address to listen on; without a host it is loopback only")
    ] = ":8080"
    api_key_file: Annotated[
        str, Meta(description="file with one API key per line; requests must carry one of them")
    ] = ""
    insecure_no_auth: Annotated[
        bool, Meta(description="listen on other addresses than loopback without an API key")
    ] = False
    cache_per_key: Annotated[
        bool,
        Meta(
            description="let no request to /infer use prompts that were cached for another API key"
        ),
    ] = False
    trusted_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="names that the Host header may have, comma-separated; unless set, any on"
            " other addresses or with keys, and on loopback only loopback's own"
        ),
    ] = ()
    readiness: Annotated[
        Literal["instance", "accepting"],
        Meta(description="what /readyz waits for: a loaded model, or just taking requests"),
    ] = "instance"
    max_body_bytes: Annotated[int, Meta(ge=1, description="largest request body")] = 1 << 20
    max_header_bytes: Annotated[
        int, Meta(ge=1024, description="largest request head: request line and headers")
    ] = 32 << 10
    max_headers: Annotated[int, Meta(ge=8, description="most headers in one request")] = 100
    max_connections: Annotated[int, Meta(ge=1, description="most open connections")] = 2048
    head_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a request's head to arrive")
    ] = 10.0
    body_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a request's body to arrive")
    ] = 30.0
    write_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a client to take nothing of its answer")
    ] = 60.0
    drain_timeout_s: Annotated[
        float,
        Meta(ge=0, description="how long running requests may go on after SIGTERM; 0 ends them"),
    ] = 10.0

    # Models and memory
    models_dir: Annotated[str, Meta(description="folder to search for *.gguf files")] = (
        "~/models/llm"
    )
    default_model: Annotated[
        str, Meta(description="id of the model for requests that name none")
    ] = ""
    vram_budget_mb: Annotated[
        int, Meta(ge=0, description="memory for all loaded models together, in MiB; 0: unlimited")
    ] = 0
    vram_margin_mb: Annotated[
        int, Meta(ge=0, description="part of the budget that is kept free, in MiB")
    ] = 0
    eviction_policy: Annotated[
        str, Meta(description="policy that chooses which idle model makes room")
    ] = "lru"
    models: Annotated[
        ModelOptions,
        Meta(description="options per model: id or glob to options, later rows winning"),
    ] = {}

    # Queues and fairness
    max_queue_depth: Annotated[
        int, Meta(ge=0, description="most requests that wait in front of one model")
    ] = 32
    max_wait_s: Annotated[
        float, Meta(gt=0, description="longest time that a request waits for its turn")
    ] = 120.0
    max_overtake_s: Annotated[
        float,
        Meta(
            ge=0, description="longest time that a loaded model's requests overtake a waiting one's"
        ),
    ] = 10.0
    min_residence_s: Annotated[
        float, Meta(ge=0, description="shortest time that a model stays loaded once it is")
    ] = 1.0

    # Workers
    engine_host: Annotated[
        Literal["process", "thread"],
        Meta(description="run each model in a process of its own, or in a thread (no isolation)"),
    ] = "process"
    spare_workers: Annotated[
        int, Meta(ge=0, le=16, description="workers started ahead, so that loads need not wait")
    ] = 1
    load_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time that a load may make no progress")
    ] = 120.0
    stall_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time that running requests may make no progress")
    ] = 120.0
    cancel_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a worker to give up a cancelled request")
    ] = 10.0
    worker_memory_mb: Annotated[
        int, Meta(ge=0, description="address space of one worker, in MiB; 0: unlimited")
    ] = 0

    # Logging and plugins
    log_level: Annotated[
        Literal["off", "error", "info", "debug"], Meta(description="how much is logged")
    ] = "info"
    log_format: Annotated[
        Literal["console", "json"], Meta(description="how log lines are written")
    ] = "console"
    block_plugins: Annotated[
        tuple[str, ...], Meta(description="plugins to leave out, by name, comma-separated")
    ] = ()
    plugin_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for one plugin's import or hook at start")
    ] = 10.0

    @property
    def budget_bytes(self) -> int | None:
        """The memory budget in bytes, ``None`` for unlimited."""
        return self.vram_budget_mb << 20 if self.vram_budget_mb else None

    @property
    def margin_bytes(self) -> int:
        """The part of the budget that stays free, in bytes."""
        return self.vram_margin_mb << 20


class Setting(Value, frozen=True, kw_only=True):
    """One row of the table. ``type`` is without its annotations; ``choices`` may be empty."""

    name: str
    type: Any
    annotated: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()


class Resolved(Value, frozen=True, kw_only=True):
    """Settings and the origin of each value: a flag, a variable, a file or ``default``.

    ``warnings`` are for the log: variables that look like settings and are none. They are no
    errors, because others set such variables too (Kubernetes does for a service named modeld).
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def _table() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(Settings):
        annotated = hints[field.name]
        plain, meta = get_args(annotated)[:2]
        choices = get_args(plain) if get_origin(plain) is Literal else ()
        rows.append(
            Setting(
                name=field.name,
                type=plain,
                annotated=annotated,
                default=getattr(Settings(), field.name),
                help=meta.description,
                choices=choices,
            )
        )
    return tuple(rows)


TABLE: tuple[Setting, ...] = _table()
"""All settings, in the order of the class."""

_BY_NAME = {row.name: row for row in TABLE}


def resolve(
    flags: Mapping[str, object], environ: Mapping[str, str], config: str | None = None
) -> Resolved:
    """Put the settings together from the flags given, the environment and the file ``config``.

    ``flags`` maps setting names to values for those that were given on the command line. Where
    ``config`` is ``None``, ``MODELD_CONFIG`` names the file.

    Raises:
        ConfigurationError: a value is unknown, of the wrong type or out of range; it says where
            it came from and what was expected.
    """
    config = config or environ.get(ENV_PREFIX + "CONFIG") or None
    values: dict[str, object] = {}
    origins = dict.fromkeys(_BY_NAME, "default")
    if config is not None:
        for name, value in _read_file(config).items():
            values[name] = _convert(_BY_NAME[name], value, f"{config}: {name}", strict=True)
            origins[name] = f"file {config}"
    for row in TABLE:
        if row.variable in environ:
            values[row.name] = _from_text(row, environ[row.variable], row.variable)
            origins[row.name] = f"environment {row.variable}"
    for name, value in flags.items():
        row = _BY_NAME[name]
        values[name] = (
            _from_text(row, value, row.flag)
            if isinstance(value, str)
            else _convert(row, value, row.flag, strict=True)
        )
        origins[name] = f"flag {row.flag}"
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was converted to its row's type
    if settings.budget_bytes is not None and settings.margin_bytes >= settings.budget_bytes:
        raise ConfigurationError(
            f"vram_margin_mb ({settings.vram_margin_mb}) leaves nothing of vram_budget_mb"
            f" ({settings.vram_budget_mb}); make the margin smaller than the budget",
            field="vram_margin_mb",
        )
    return Resolved(settings=settings, origins=origins, warnings=_unknown_variables(environ))


def nearest(name: str, known: list[str]) -> str:
    """``; did you mean X?`` for the known name most like ``name``, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _convert(row: Setting, value: object, where: str, *, strict: bool) -> object:
    if value is False and "off" in row.choices:
        value = "off"  # YAML 1.1 reads the bare word as a boolean
    try:
        converted = msgspec.convert(value, row.annotated, strict=strict)
    except msgspec.ValidationError as exc:
        detail = str(exc)
        if row.choices:
            detail = f"expected one of {', '.join(row.choices)}, got {value!r}"
        raise ConfigurationError(f"{where}: {detail}", field=row.name) from exc
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigurationError(f"{where}: expected a finite number, got {value}", field=row.name)
    return converted


def _from_text(row: Setting, text: str, where: str) -> object:
    if row.type is str or row.choices:
        return _convert(row, text, where, strict=True)
    if get_origin(row.type) is tuple:
        return _convert(
            row, [part.strip() for part in text.split(",") if part.strip()], where, strict=True
        )
    if get_origin(row.type) is dict:
        try:
            return _convert(row, msgspec.json.decode(text), where, strict=True)
        except msgspec.DecodeError as exc:
            raise ConfigurationError(
                f"{where}: expected a JSON object: {exc}", field=row.name
            ) from exc
    return _convert(row, text, where, strict=False)


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = [row.variable for row in TABLE] + [ENV_PREFIX + name for name in _OTHER_VARIABLES]
    return tuple(
        f"environment: {name} is no setting and is ignored{nearest(name, known)}"
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in known
    )


def _read_file(config: str) -> dict[str, object]:
    path = Path(config).expanduser()
    try:
        data = _parse(path, path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"{config}: cannot be read: {exc.strerror}") from exc
    except RecursionError as exc:
        raise ConfigurationError(f"{config}: nested too deeply") from exc
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{config}: expected a table of settings at the top")
    for name in data:
        if name not in _BY_NAME:
            hint = nearest(str(name), list(_BY_NAME))
            raise ConfigurationError(f"{config}: unknown key {str(name)!r}{hint}", field=str(name))
    return data


def _parse(path: Path, content: bytes) -> object:
    """Decode by suffix. The parsers are imported here because a start needs at most one."""
    match path.suffix.lower():
        case ".yaml" | ".yml":
            import yaml  # noqa: PLC0415

            try:
                return yaml.safe_load(content)
            except yaml.YAMLError as exc:
                where = " ".join(str(exc).split())
                raise ConfigurationError(f"{path}: not valid YAML: {where}") from exc
        case ".json":
            try:
                return msgspec.json.decode(content)
            except msgspec.DecodeError as exc:
                raise ConfigurationError(f"{path}: not valid JSON: {exc}") from exc
        case ".toml":
            import tomllib  # noqa: PLC0415

            try:
                return tomllib.loads(content.decode())
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
                raise ConfigurationError(f"{path}: not valid TOML: {exc}") from exc
        case suffix:
            raise ConfigurationError(
                f"{path}: unknown kind of file {suffix!r}; use .yaml, .yml, .json or .toml"
            )
