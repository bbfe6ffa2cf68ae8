# SPDX-License-Identifier: GPL-3.0-only
"""To which addresses a pull connects."""

from __future__ import annotations

import asyncio

import pytest
from modeld_pull.errors import PullUnusableError
from modeld_pull.http.addresses import Resolver, is_public

PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00::1"),
    *("64:ff9b:1::808:808", "::ffff:0:808:808", "::8.8.8.8", "::7f00:1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "ff02::1"),
)


def test_addresses_of_the_internet_are_told_from_all_others() -> None:
    assert [each for each in PUBLIC if not is_public(each)] == []
    assert [each for each in PRIVATE if is_public(each)] == []


def test_only_what_the_operator_has_named_may_be_inside_and_then_all_it_leads_to() -> None:
    outside = Resolver(frozenset({"8.8.8.8"}))
    outside.check_literal("8.8.8.8")
    outside.check_literal("name.example")
    with pytest.raises(PullUnusableError, match="no address of the internet"):
        outside.check_literal("127.0.0.1")
    inside = Resolver(frozenset({"127.0.0.1"}))
    inside.check_literal("127.0.0.1")
    inside.check_literal("10.0.0.1")
    proxied = Resolver(frozenset({"8.8.8.8"}), frozenset({"10.0.0.1"}))
    proxied.check_literal("10.0.0.1")
    with pytest.raises(PullUnusableError):
        proxied.check_literal("10.0.0.2")


def test_what_only_some_programs_read_as_an_address_is_refused() -> None:
    strange = ["2130706433", "127.1", "0x7f000001", "0X7f.0.0.1", "0177.0.0.1", "127.0.0.1."]
    strange += ["\uff11\uff12\uff17.0.0.1", "127\u30020.0.1", "::1::", "a:b", "8.8.8.8.8"]
    for host in strange:
        with pytest.raises(PullUnusableError, match="no sound address"):
            Resolver(frozenset({host})).check_literal(host)
    for name in ("1.example", "0x7f.example", "xn--bcher-kva.example", "localhost."):
        Resolver(frozenset()).check_literal(name)


def test_a_name_is_what_it_resolves_to() -> None:
    async def main() -> None:
        with pytest.raises(PullUnusableError, match="localhost"):
            await Resolver(frozenset({"hub.example"})).resolve("localhost", 80)
        found = await Resolver(frozenset({"localhost"})).resolve("localhost", 80)
        assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
        with pytest.raises(OSError, match="label"):
            await Resolver(frozenset()).resolve(f"{'x' * 70}.example", 80)

    asyncio.run(main())
