# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import pytest

from modeld import hookimpl
from modeld.doctor.plugins import check_plugins, refused
from modeld.errors import ConfigurationError
from tests.support.doctor.another_machine import bad, by_subject, only
from tests.support.plugins.some_plugins import Brings, Thing, discover

KEY = "a-key-that-nobody-knows-42"


def test_working_plugins_are_listed_with_the_policy():
    host = discover({"mine": Brings(Thing())})
    assert bad(check_plugins(host)) == []
    found = by_subject(check_plugins(host))
    assert "mine" in found["active"].message
    assert found["eviction policy"].message == "cost-aware"


def test_a_broken_plugin_is_an_error_with_its_reason():
    host = discover({"bad": Brings("no backend"), "mine": Brings(Thing())})
    finding = only(bad(check_plugins(host)))
    assert (finding.subject, finding.level) == ("bad", "error")
    assert "which is not a Backend" in finding.message
    assert "--block-plugins bad" in str(finding.fix)


def test_what_is_left_out_of_an_active_plugin_is_a_warning():
    class Plugin(Brings):
        @hookimpl
        def modeld_register_sources(self):
            return ["no source"]

    finding = only(bad(check_plugins(discover({"mine": Plugin(Thing())}))))
    assert (finding.subject, finding.level) == ("mine", "warning")
    assert "a source is left out: it brought 'no source'" in finding.message


def test_without_a_backend_or_a_source_nothing_can_be_served():
    host = discover(block_plugins=("llama-cpp", "openvino", "gguf-folder"))
    found = by_subject(check_plugins(host))
    assert found["backends"].level == found["sources"].level == "error"
    assert "pip install modeld[llama]" in str(found["backends"].fix)
    assert found["llama-cpp"].level == "ok"
    assert "blocked" in found["llama-cpp"].message


def test_a_blocked_name_that_does_not_exist_is_a_warning():
    host = discover({"mine": Brings(Thing())}, block_plugins=("see",))
    finding = only(bad(check_plugins(host)))
    assert finding.message == "there is no plugin 'see'; did you mean 'sse'?"


def test_plugins_that_cannot_be_used_together_are_an_error():
    with pytest.raises(ConfigurationError) as caught:
        discover(eviction_policy="lur")
    finding = refused(caught.value)
    assert finding.level == "error"
    assert "no installed plugin brings 'lur'" in finding.message
    assert finding.fix
