# SPDX-License-Identifier: GPL-3.0-only
"""What somebody writes to have something pulled."""

from __future__ import annotations

import pytest
from modeld_pull.names import fault_of_path
from modeld_pull.reference import HubReference, UrlReference, is_below, reference_of

from modeld.errors import InvalidRequestError

SHA = "ab" * 32
URL = "https://x.example/m.GGUF"


def hub(**members: str) -> HubReference:
    return HubReference(repository="a/b", **members)


@pytest.mark.parametrize(
    ("source", "beside", "wanted"),
    [
        ("a/b", {}, hub()),
        ("hf.co/a/b:q8_0", {}, hub(wanted="q8_0")),
        ("huggingface.co/a/b", {"file": "x/y.gguf"}, hub(wanted="x/y.gguf")),
        ("a/b", {"revision": "refs/pr/1"}, hub(revision="refs/pr/1")),
        ("a/b:y.gguf", {"sha256": SHA.upper()}, hub(wanted="y.gguf", sha256=SHA)),
        (f"{URL}?key=1", {"sha256": SHA}, UrlReference(url=f"{URL}?key=1", sha256=SHA)),
    ],
)
def test_what_can_be_pulled_is_understood(source, beside, wanted) -> None:
    assert reference_of(source, **beside) == wanted


def test_a_signature_is_not_shown() -> None:
    reference = reference_of("https://x.example/m%20n.gguf?signature=secret", sha256=SHA)
    assert str(reference) == "https://x.example/m%20n.gguf"
    assert isinstance(reference, UrlReference)
    assert reference.name == "m n.gguf"


@pytest.mark.parametrize(
    ("source", "beside", "field", "said"),
    [
        ("model", {}, "source", "OWNER/NAME"),
        ("a/b/c", {}, "source", "OWNER/NAME"),
        ("../b", {}, "source", "OWNER/NAME"),
        ("a/..", {}, "source", "OWNER/NAME"),
        (".a/b", {}, "source", "OWNER/NAME"),
        ("a/b\n", {}, "source", "OWNER/NAME"),
        ("a/b:c", {"file": "d"}, "file", "leave one out"),
        ("a/b:../c.gguf", {}, "file", "leads out"),
        ("a/b:/etc/c.gguf", {}, "file", "leads out"),
        ("a/b:.c.gguf", {}, "file", "hidden"),
        ("a/b:c\0.gguf", {}, "file", "characters"),
        ("a/b:x\x1b", {}, "file", "quantisation"),
        ("a/b", {"revision": "../x"}, "revision", "branch"),
        ("a/b", {"sha256": "12"}, "sha256", "64"),
        ("https://x.example/m.gguf", {}, "sha256", "needs its SHA-256"),
        ("https://x.example/m.gguf", {"sha256": SHA, "file": "x"}, "file", "names the file itself"),
        ("https://x.example/m.bin", {"sha256": SHA}, "source", "no GGUF file"),
        ("https://x.example/..%2fm.gguf", {"sha256": SHA}, "source", "leads out"),
        ("https://x.example/a%2Fm.gguf", {"sha256": SHA}, "source", "another folder"),
        ("https://x.example/a%5Cm.gguf", {"sha256": SHA}, "source", "characters"),
        ("https://x.example/%00m.gguf", {"sha256": SHA}, "source", "characters"),
        ("ftp://x.example/m.gguf", {"sha256": SHA}, "source", "http(s)"),
        ("file:///etc/m.gguf", {"sha256": SHA}, "source", "http(s)"),
        ("https://me:key@x.example/m.gguf", {"sha256": SHA}, "source", "password"),
        ("https://x.example:99999/m.gguf", {"sha256": SHA}, "source", "http(s)"),
        ("https://x.example/m.gguf#a", {"sha256": SHA}, "source", "fragment"),
        ("https://x.example\\m.gguf", {"sha256": SHA}, "source", "ASCII"),
    ],
)
def test_what_cannot_be_pulled_is_refused_by_its_field(source, beside, field, said) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        reference_of(source, **beside)
    assert refused.value.field == field
    assert said in refused.value.message


def test_a_path_stays_below_its_folder() -> None:
    good = ["m.gguf", "a/b/c/d/e/m.gguf", "ü-Q4_0.GGUF", "a b.gguf"]
    assert [fault_of_path(each) for each in good] == [None] * len(good)
    bad = ["", "m", "/m.gguf", "a//m.gguf", "a/./m.gguf", "a/../m.gguf", "a\\..\\m.gguf", "m.gguf/"]
    bad += ["a/.b/m.gguf", "a\nb.gguf", "\u202em.gguf", "a/" * 6 + "m.gguf", "m" * 200 + ".gguf"]
    assert all(fault_of_path(each) for each in bad)


@pytest.mark.parametrize(
    ("url", "beginning", "is_so"),
    [
        ("https://x.example/a/m.gguf", "https://x.example/a", True),
        ("https://x.example/a/m.gguf", "https://x.example", True),
        ("https://X.example:443/m.gguf", "https://x.example/", True),
        ("https://x.example/ab/m.gguf", "https://x.example/a", False),
        ("https://x.example.evil/m.gguf", "https://x.example", False),
        ("https://x.example@evil/m.gguf", "https://x.example", False),
        ("http://x.example/m.gguf", "https://x.example", False),
        ("https://x.example:8443/m.gguf", "https://x.example", False),
        ("https://x.example/a/../b/m.gguf", "https://x.example/a/", False),
        ("https://x.example/a/%2e%2e/b/m.gguf", "https://x.example/a/", False),
        ("https://x.example/a/m.gguf", "nonsense", False),
    ],
)
def test_an_allowed_beginning_allows_its_folder_and_no_more(url, beginning, is_so) -> None:
    assert is_below(url, beginning) is is_so
