# SPDX-License-Identifier: GPL-3.0-only
"""All settings in one table.

The table is :class:`Settings` itself: a field's annotation gives its type, range and help text,
and its name gives the flag (``--max-wait-s``), the variable (``MODELD_MAX_WAIT_S``) and the key in
the file (``max_wait_s``). Some settings have a former name too, which works in all these places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta

from modeld.settings.folders import joined, split
from modeld.settings.model_rows import ModelOptions, check_rows
from modeld.settings.plugin_table import PluginSettings
from modeld.settings.setting import Setting, rows_of
from modeld.values import Value

P = TypeVar("P", bound=PluginSettings)


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
            description="let no request of any API use prompts that were cached for another API key"
        ),
    ] = False
    trusted_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="names that the Host header may have, comma-separated; unless set, any on"
            " other addresses or with keys, and on loopback only loopback's own"
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="origins whose pages may use this server, such as https://chat.example,"
            " comma-separated; with keys * too, for all"
        ),
    ] = ()
    cors_loopback: Annotated[
        bool, Meta(description="let pages of this machine use it: of localhost, any port")
    ] = False
    readiness: Annotated[
        Literal["instance", "accepting"],
        Meta(description="what /readyz waits for: a loaded model, or just taking requests"),
    ] = "instance"
    max_body_bytes: Annotated[int, Meta(ge=1, description="largest request body")] = 1 << 20
    max_header_bytes: Annotated[
        int, Meta(ge=1024, description="largest request head: request line and headers")
    ] = 32 << 10
    max_headers: Annotated[int, Meta(ge=8, description="most headers in one request")] = 100
    max_connections: Annotated[
        int, Meta(ge=1, description="most open connections; fewer where too few files may be open")
    ] = 2048
    head_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a request's head to arrive")
    ] = 10.0
    body_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a request's body to arrive")
    ] = 30.0
    write_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for a client to take nothing of its response")
    ] = 60.0
    drain_timeout_s: Annotated[
        float,
        Meta(ge=0, description="how long running requests may go on after SIGTERM; 0 ends them"),
    ] = 2.0

    # Models and memory
    models_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="folder to search for *.gguf files, or several, comma-separated",
            extra={"joins": joined},
        ),
    ] = "~/models/llm"
    follow_links: Annotated[
        bool, Meta(description="follow links in models_dir, also out of it, to files and folders")
    ] = True
    source_timeout_s: Annotated[
        float,
        Meta(gt=0, description="longest time that a start or a request waits for a list of models"),
    ] = 5.0
    default_model: Annotated[
        str,
        Meta(
            description="name of the model for requests that name none; unless set, the preset"
            " default or the only usable one"
        ),
    ] = ""
    memory_budget_mb: Annotated[
        Annotated[int, Meta(ge=0)] | Literal["auto"],
        Meta(
            description="memory for all loaded models together, in MiB; auto: what other programs"
            " leave, watched all the time; 0: unlimited",
            extra={"former": "vram_budget_mb"},
        ),
    ] = "auto"
    memory_margin_mb: Annotated[
        int,
        Meta(
            ge=0,
            description="part of the budget that is kept free, in MiB",
            extra={"former": "vram_margin_mb"},
        ),
    ] = 0
    fit: Annotated[
        bool,
        Meta(
            description="load a model that can never fit as configured with less: a smaller prefix"
            " cache, KV cache or context, of what nobody has set"
        ),
    ] = True
    gpu_budget_mb: Annotated[
        Annotated[int, Meta(ge=0)] | Literal["auto"] | Mapping[str, Annotated[int, Meta(ge=0)]],
        Meta(
            description="memory for all loaded models together on each GPU, in MiB, or a table of"
            " it by the GPU's number; auto: what other programs leave, watched all the time; 0:"
            " unlimited"
        ),
    ] = "auto"
    share_machine: Annotated[
        bool,
        Meta(
            description="have a memory budget beside other processes of modeld on this machine"
            " that have one; it is a part of the memory then"
        ),
    ] = False
    eviction_policy: Annotated[
        str, Meta(description="policy that chooses which idle model makes room")
    ] = "cost-aware"
    max_idle_s: Annotated[
        float,
        Meta(ge=0, description="longest time that a model stays loaded unused; 0: no limit"),
    ] = 0.0
    session_quota_mb: Annotated[
        int,
        Meta(
            ge=0,
            description="what models that have left memory may leave of their chats, in MiB, for"
            " when they come back; 0: nothing",
        ),
    ] = 512
    session_folder: Annotated[
        str,
        Meta(
            description="folder in which that outlives the server, of this user's with mode 700; in"
            " main memory unless set"
        ),
    ] = ""
    models: Annotated[
        ModelOptions,
        Meta(
            description="options per model: id or glob to options; the row of an id wins over those"
            " of globs, and of these the later"
        ),
    ] = {}
    presets: Annotated[
        ModelOptions,
        Meta(
            description="models with other options: name to the `model` that it is a preset of and"
            " what differs"
        ),
    ] = {}
    preload: Annotated[
        tuple[str, ...],
        Meta(description="models to load when the server starts, in this order, comma-separated"),
    ] = ()

    # Queues and fairness
    max_queue_depth: Annotated[
        int, Meta(ge=0, description="most requests that wait in front of one model")
    ] = 32
    max_wait_s: Annotated[
        float, Meta(gt=0, description="longest time that a request waits in its queue")
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
    warm_workers: Annotated[
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
    trace_file: Annotated[
        str,
        Meta(
            description="file to append a row of numbers to for each request, for modeld simulate;"
            " no texts are in it"
        ),
    ] = ""
    trace_max_mb: Annotated[
        int, Meta(ge=1, description="largest trace file, in MiB; nothing more is written then")
    ] = 256
    block_plugins: Annotated[
        tuple[str, ...], Meta(description="plugins to leave out, by name, comma-separated")
    ] = ()
    plugin_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time for one plugin's import or hook at start")
    ] = 10.0

    # Not in the table: each plugin has its settings in a table of its own.
    plugins: tuple[PluginSettings, ...] = ()

    def __post_init__(self) -> None:
        """Check what the rows of models and presets say, as far as no model need be known.

        Raises:
            ConfigurationError: one of them is wrong; it is named.
        """
        check_rows(self.models, self.presets, self.default_model)

    def of(self, declared: type[P]) -> P:
        """Return the settings of the plugin that declares this class; the defaults unless set."""
        return next((each for each in self.plugins if type(each) is declared), declared())

    @property
    def model_folders(self) -> tuple[str, ...]:
        """Return the folders of ``models_dir``, each once."""
        return split(self.models_dir)

    @property
    def is_budget_auto(self) -> bool:
        """Return whether the machine says what the memory budget is."""
        return self.memory_budget_mb == "auto"

    @property
    def budget_bytes(self) -> int | None:
        """Return the memory budget in bytes, ``None`` for unlimited and for ``auto``."""
        given = self.memory_budget_mb
        return given << 20 if isinstance(given, int) and given else None

    def gpu_budget_bytes(self, gpu: str) -> int | Literal["auto"] | None:
        """Return the budget of a GPU, by its name, as it is set; ``None`` for unlimited.

        One that a table leaves out is ``auto``.
        """
        given = self.gpu_budget_mb
        if isinstance(given, Mapping):
            given = given.get(gpu.removeprefix("gpu"), "auto")
        return given << 20 or None if isinstance(given, int) else "auto"

    @property
    def margin_bytes(self) -> int:
        """Return the part of the budget that stays free, in bytes."""
        return self.memory_margin_mb << 20


TABLE: Final[tuple[Setting, ...]] = tuple(row for row in rows_of(Settings) if row.name != "plugins")
"""All settings of modeld itself, in the order of the class."""
