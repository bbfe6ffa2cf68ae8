# SPDX-License-Identifier: GPL-3.0-only
"""docs/how-to/cluster.md says what the settings and the errors are."""

from __future__ import annotations

import re
import shlex

import msgspec
import yaml
from modeld_ray import errors
from modeld_ray.deploying.command import command
from modeld_ray.deploying.configuration import BUDGET_LABEL, settings_from
from modeld_ray.deploying.serve_config import VARIABLES, address_of
from modeld_ray.settings import RaySettings

from modeld import ModeldError
from tests.support.docs.pages import blocks, read, rows, section

PAGE = "how-to/cluster.md"


def test_every_setting_is_listed_with_its_default() -> None:
    _header, *table = rows(section(PAGE, "Settings"))
    found = {row[0].strip("`"): row[1] for row in table}
    assert found == {
        field.name: f"{field.default:g}" if field.default != "" else ""
        for field in msgspec.structs.fields(RaySettings)
    }


def test_every_error_is_explained() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code: each.status for each in kinds if each is not ModeldError}
    page = read(PAGE)
    assert {"host_lost", "no_host", "model_quarantined"} == set(codes)
    for code, status in codes.items():
        assert re.search(rf"`{code}` \({status}\)", page), code


def test_the_variables_and_the_label_are_those_of_the_code() -> None:
    words = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
    assert words in read(PAGE)
    assert words in read("tutorials/three-machines.md")
    assert BUDGET_LABEL in read(PAGE)


def test_the_settings_of_the_tutorial_are_those_of_a_cluster_of_three() -> None:
    (block,) = blocks("yaml", "tutorials/three-machines.md")
    found = settings_from(yaml.safe_load(block.text))
    assert address_of(found) == ("0.0.0.0", 8000)
    own = found.of(RaySettings)
    assert (own.hosts, own.ingresses) == (3, 3)


def test_every_command_of_modelds_on_the_pages_has_the_options_that_it_is_given() -> None:
    pages = (PAGE, "how-to/kuberay.md", "tutorials/three-machines.md")
    lines = [line for block in blocks("sh", *pages) for line in block.text.splitlines()]
    calls = [shlex.split(line, comments=True)[2:] for line in lines if "modeld ray " in line]
    assert {words[0] for words in calls} == {"up", "status", "down", "config"}
    for verb, *words in calls:
        known = {option for each in command.commands[verb].params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, (verb, words)
