# SPDX-License-Identifier: GPL-3.0-only
"""To which addresses a pull may connect.

What a source redirects to is a stranger's choice. It must not lead to this machine or into its
network, unless the source that the operator has named is there itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from modeld_pull.errors import PullUnusableError

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_INSIDE: Final = tuple(
    map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
)
"""Networks that are not global although :mod:`ipaddress` calls them so: translation, site-local."""

_NUMBER: Final = re.compile(r"\d+|0x[\da-f]*", re.IGNORECASE)
_IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

IsPublic: TypeAlias = Callable[[str], bool]


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the internet, and of no network of its own."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if any(found in network for network in _INSIDE):
        return False
    return all(each.is_global and not each.is_multicast for each in _meant(found))


def _meant(address: _IpAddress) -> list[_IpAddress]:
    """Return an address with those that it stands for: some of IPv6 are others of IPv4."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    inner: list[ipaddress.IPv4Address] = []
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]  # of the outer one, releases of Python say different things
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.teredo:
        inner += address.teredo
    return [address, *inner]


def _is_like_an_address(host: str) -> bool:
    """Return whether some program may read a host as an address: ``127.1``, ``0x7f000001``."""
    last = host.rstrip(".").rpartition(".")[2]
    return ":" in host or not host.isascii() or _NUMBER.fullmatch(last) is not None


class Resolver(AbstractResolver):
    """Finds the addresses of hosts, and refuses those to which a pull may not connect.

    The connection goes to the very addresses that are checked here, so a name that means something
    else the next moment is of no use to anybody. ``trusted`` are the hosts that the operator has
    named, ``proxies`` those of the environment's proxies, which decide for themselves where they
    connect to.
    """

    def __init__(
        self,
        trusted: frozenset[str],
        proxies: frozenset[str] = frozenset(),
        public: IsPublic = is_public,
    ) -> None:
        self._trusted = trusted
        self._proxies = proxies
        self._public = public
        self._is_inside = False

    def check_literal(self, host: str) -> None:
        """Refuse a host that is an address and no name: nobody asks a resolver for it.

        Raises:
            PullUnusableError: a pull may not connect to it, or it is written in a way that only
                some programs take for an address.
        """
        bare = host.partition("%")[0]
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            if _is_like_an_address(bare):
                raise PullUnusableError(
                    f"{host!a} is no sound address; one has four decimal numbers, or is IPv6"
                ) from None
            return
        self._check(host, [host])

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: it has none.
            PullUnusableError: a pull may not connect to one of them.
        """
        found = await _looked_up(host, port, family)
        self._check(host, [each["host"] for each in found])
        return found

    async def close(self) -> None:
        """Close nothing: nothing is open."""

    def _check(self, host: str, addresses: list[str]) -> None:
        if host in self._proxies:
            return
        private = [each for each in addresses if not self._public(each)]
        if host in self._trusted:
            # A hub inside of a network redirects to its neighbours there.
            self._is_inside = self._is_inside or bool(private)
        elif private and not self._is_inside:
            raise PullUnusableError(
                f"the source redirects to {host} ({private[0]}), which is no address of the"
                " internet; a source out there must not lead into this network"
            )


async def _looked_up(host: str, port: int, family: int) -> list[ResolveResult]:
    """Ask the system, on a thread that keeps no process from its end while it waits."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[ResolveResult]] = loop.create_future()

    def tell(error: OSError | None, results: list[ResolveResult]) -> None:
        if found.cancelled():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(results)

    def look() -> None:
        error, results = None, []
        try:
            results = _addresses(host, port, family)
        except (OSError, UnicodeError) as exc:
            error = exc if isinstance(exc, OSError) else OSError(str(exc))
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, error, results)

    threading.Thread(target=look, name="modeld-pull-lookup", daemon=True).start()
    return await found


def _addresses(host: str, port: int, family: int) -> list[ResolveResult]:
    infos = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _type, protocol, _name, address in infos
    ]
