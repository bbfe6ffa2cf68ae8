# SPDX-License-Identifier: GPL-3.0-only
"""What can be said of servers in the settings, and what is wrong with the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from modeld_upstream.servers import UpstreamServer, UpstreamSettings

from modeld.capabilities import Capability
from modeld.errors import ConfigurationError

URL = "http://127.0.0.1:8000/v1"
COMMAND = "serve {model} --port {port}"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "needs a url or a command"),
        ({"url": URL, "command": COMMAND, "models": ["m"]}, "needs a url or a command"),
        ({"url": "127.0.0.1:8000"}, "needs a url such as"),
        ({"url": "ftp://x/v1"}, "needs a url such as"),
        ({"url": "http://ann:secret@x/v1"}, "a key belongs into key_file"),
        ({"url": URL, "files": ["*.gguf"]}, "are for a command"),
        ({"url": URL, "key_file": "a", "key_env": "b"}, "keep one"),
        ({"command": COMMAND}, "say in models or files for what"),
        ({"command": "serve {model}", "models": ["m"]}, "without {port}"),
        ({"command": "serve {port} {modle}", "models": ["m"]}, "{modle}"),
        ({"command": "serve {port} 'a", "models": ["m"]}, "cannot be read"),
        ({"command": COMMAND, "models": ["m"], "ports": [9, 8]}, "the first is above"),
        ({"url": URL, "kind": "llama"}, "kind"),
        ({"url": URL, "colour": "red"}, "colour"),
        ({"url": URL, "capabilities": ["flight"]}, "capabilities"),
        ({"url": URL, "capabilities": ["chat", "regex"]}, "has no words for regex"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(members: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"name": "big", **members}, UpstreamServer)
    assert said in str(caught.value)


def test_two_servers_of_one_name_are_refused() -> None:
    servers = [{"name": "big", "url": URL}] * 2
    with pytest.raises(msgspec.ValidationError, match="two servers are called 'big'"):
        msgspec.convert({"servers": servers}, UpstreamSettings)


def test_a_server_serves_what_its_kind_does_unless_it_says_so() -> None:
    assert Capability.GRAMMAR in UpstreamServer(name="a", url=URL, kind="llama-server").serves
    only = UpstreamServer(name="a", url=URL, capabilities=(Capability.EMBED,))
    assert only.serves == {Capability.EMBED}


def test_a_key_is_read_anew_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    server = UpstreamServer(name="a", url=URL, key_file=str(file))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        server.key()
    file.write_text("sk-one\n")
    assert server.key() == "sk-one"
    file.write_text("sk-two")
    assert server.key() == "sk-two"
    file.write_text("sk-two\nsk-three")
    with pytest.raises(ConfigurationError) as caught:
        server.key()
    assert "sk-" not in caught.value.message
    monkeypatch.setenv("A_KEY", "sk-env")
    assert UpstreamServer(name="a", url=URL, key_env="A_KEY").key() == "sk-env"
    assert UpstreamServer(name="a", url=URL).key() is None


def test_health_is_where_the_kind_has_it_unless_it_is_said() -> None:
    assert UpstreamServer(name="a", url=URL).health_path == "/models"
    assert UpstreamServer(name="a", url=URL, kind="vllm").health_path == "//health"
    assert UpstreamServer(name="a", url=URL, health="/ping").health_path == "//ping"
