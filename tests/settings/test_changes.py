# SPDX-License-Identifier: GPL-3.0-only
"""What a running server takes over of other settings."""

from __future__ import annotations

import re

from msgspec.structs import replace

from modeld import PluginSettings, Settings
from modeld.settings import TABLE
from modeld.settings.changes import RELOADABLE, change_of
from tests.support.docs.pages import rows, section


class Shelf(PluginSettings, frozen=True):
    most: int = 1
    least: int = 0


def test_what_can_change_is_taken_over_and_the_rest_is_named_and_stays() -> None:
    now = Settings(addr=":1", max_wait_s=1.0, models={"a": {"slots": 1}})
    wanted = Settings(addr=":2", max_wait_s=2.0, models={"a": {"slots": 2}}, warm_workers=0)
    change = change_of(now, wanted, {})
    assert change.changed == ("models", "max_wait_s")
    assert change.needs_restart == ("addr", "warm_workers")
    assert change.settings == replace(now, max_wait_s=2.0, models={"a": {"slots": 2}})


def test_settings_of_plugins_need_a_restart_and_have_the_plugins_name() -> None:
    now, wanted = Settings(plugins=(Shelf(),)), Settings(plugins=(Shelf(most=2),))
    assert change_of(now, wanted, {Shelf: "shelf"}).needs_restart == ("shelf.most",)
    assert change_of(wanted, Settings(), {Shelf: "shelf"}).needs_restart == ("shelf.most",)
    assert change_of(now, Settings(), {Shelf: "shelf"}).needs_restart == ()


def test_keys_can_be_others_and_not_begin_or_cease_to_be_needed() -> None:
    none, one, two = Settings(), Settings(api_key_file="1"), Settings(api_key_file="2")
    assert change_of(one, two, {}).changed == ("api_key_file",)
    for now, wanted in ((none, one), (one, none)):
        change = change_of(now, wanted, {})
        assert (change.changed, change.needs_restart) == ((), ("api_key_file",))
        assert change.settings == now


def test_all_that_can_change_are_settings_and_the_page_has_them() -> None:
    assert {row.name for row in TABLE} >= RELOADABLE
    _, *found = rows(section("how-to/build-and-run.md", "How it reloads"))
    assert {name for row in found for name in re.findall(r"`(\w+)`", row[0])} == RELOADABLE
