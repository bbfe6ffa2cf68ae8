# SPDX-License-Identifier: GPL-3.0-only
"""Where the hub's address and its token come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from modeld_pull.hub.repository import HUGGING_FACE, endpoint_of
from modeld_pull.hub.token import token_of

from modeld.errors import ConfigurationError


def test_the_token_is_that_of_the_setting_the_variable_or_the_usual_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("from-home\n")
    (tmp_path / "own").write_text(" from-setting \n")
    home = {"HF_HOME": str(tmp_path)}
    assert token_of("", home) == "from-home"
    assert token_of("", {"HF_TOKEN_PATH": str(tmp_path / "own")}) == "from-setting"
    assert token_of("", home | {"HF_TOKEN": "from-variable"}) == "from-variable"
    assert token_of("", {"XDG_CACHE_HOME": str(tmp_path / "none")}) is None
    assert token_of(str(tmp_path / "own"), home | {"HF_TOKEN": "x"}) == "from-setting"


def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        token_of(str(tmp_path / "none"), {})
    for wrong in ("two words", "schlüssel", "a\r\nHost: evil"):
        with pytest.raises(ConfigurationError) as refused:
            token_of("", {"HF_TOKEN": wrong})
        assert wrong not in refused.value.message


def test_the_hub_is_that_of_the_setting_of_the_variable_or_hugging_face() -> None:
    assert endpoint_of("", {}) == endpoint_of("", {"HF_ENDPOINT": " "}) == HUGGING_FACE
    assert endpoint_of("", {"HF_ENDPOINT": "http://hub.example/"}) == "http://hub.example"
    assert endpoint_of("https://own.example", {"HF_ENDPOINT": "x"}) == "https://own.example"
    with pytest.raises(ConfigurationError, match="HF_ENDPOINT: it is no http"):
        endpoint_of("", {"HF_ENDPOINT": "hub.example"})
