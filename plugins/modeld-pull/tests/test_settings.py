# SPDX-License-Identifier: GPL-3.0-only
"""Settings that cannot be used are refused when they are read."""

from __future__ import annotations

import pytest
from modeld_pull.settings import PullSettings

from modeld.errors import ConfigurationError
from modeld.settings import PluginTables, resolve, table_of

TABLES = PluginTables(tables=(table_of("pull", PullSettings),))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pull.client_urls", "https://a.example/, models.example/gguf"),
        ("pull.endpoint", "hub.example"),
    ],
)
def test_an_address_that_is_none_is_refused_by_its_setting(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key}: .*no http\(s\) URL") as refused:
        resolve({key: value}, {}, None, TABLES).settings.of(PullSettings)
    assert refused.value.field == key
