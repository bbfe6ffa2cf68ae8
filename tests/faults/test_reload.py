# SPDX-License-Identifier: GPL-3.0-only
"""A server whose settings file changes while it streams."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.support.http.served import Served, client, lines, script, serving, until

SETTINGS = """\
addr: 127.0.0.1:0
models_dir: {folder}
default_model: a.gguf
log_level: {level}
models:
  "a.gguf": {{slots: {slots}}}
"""


def test_sighup_without_a_terminal_reloads_and_no_stream_is_lost(
    rig_models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "modeld.yaml"

    def write(slots: int, level: str = "info") -> None:
        file.write_text(SETTINGS.format(folder=rig_models, slots=slots, level=level))

    async def scenario(served: Served) -> None:
        async with client() as http:
            body = script(tokens=3, gate=str(tmp_path / "gate"), gate_at=1)
            running = lines(http, served.url, body)
            assert await anext(running) == {"token": "t0 "}
            file.write_text("slots: 3")
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: "unknown key 'slots'" in served.status().get("settings_error", ""))
            write(3, "error")
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: "settings_error" not in served.status())
            await until(lambda: served.state("a.gguf") == "draining")
            (tmp_path / "gate").touch()
            assert [line async for line in running][-1]["content"] == "t0 t1 t2 "
            again = lines(http, served.url, script(tokens=1))
            assert [line async for line in again][-1]["done"]
            assert served.instance("a.gguf")["slots"] == 3

    write(1)
    arguments = ("--config", str(file))
    with serving(None, *arguments, wrapper=("setsid",)) as served:
        asyncio.run(scenario(served))
        log = served.log()
        assert "the settings are not reloaded: " in log
        assert "GET /status" in log, "as the level was at first"
        assert "POST /infer" not in log, "as it was when the streams ended"
        served.terminate()
        assert served.exit_code() == 0
