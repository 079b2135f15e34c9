"""Connections to addresses that were checked: the name is resolved once, and what was checked is connected to.

So no second answer of a name server counts. Nothing of the environment (a proxy, say) plays a part.
"""

import asyncio
import ssl
from collections.abc import Iterable
from ipaddress import ip_address
from socket import SOCK_STREAM

import httpcore2
import httpx2

from backend.runner.errors import AddressRefused
from backend.runner.networks import Address, Network, allowed, public


class Wire(httpx2.AsyncHTTPTransport):
    """Sends over checked connections only. Its parent's constructor isn't called: it would make unchecked ones.

    Args:
        networks: private ones that the administrator allows.
        context: for https.
        private_only: whether everything else is refused.
    """

    def __init__(self, networks: Iterable[Network], context: ssl.SSLContext, *, private_only: bool) -> None:
        network = _Checked(tuple(networks), private_only=private_only)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context, max_connections=None, max_keepalive_connections=20, network_backend=network
        )


class _Checked(httpcore2.AnyIOBackend):
    def __init__(self, networks: tuple[Network, ...], *, private_only: bool) -> None:
        self.networks = networks
        self.private_only = private_only

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that answers, of those that may be connected to.

        Raises:
            AddressRefused: none of them may.
        """
        found = await _resolved(host, port, timeout)
        usable = [address for address in found if self._may(address)]
        if found and not usable:
            raise self._refusal(f"{host}:{port}")
        failed: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in usable:
            try:
                share = timeout and timeout / len(usable)
                return await super().connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    def _may(self, address: Address) -> bool:
        return allowed(address, self.networks) or (not self.private_only and public(address))

    def _refusal(self, place: str) -> AddressRefused:
        if self.private_only:
            return AddressRefused(f"The key for {place} isn't sent without encryption; write its address with https.")
        return AddressRefused(
            f"{place} is in a private network; the administrator can allow it with SQUAD_PRIVATE_NETWORKS."
        )


async def _resolved(host: str, port: int, timeout: float | None) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, type=SOCK_STREAM)
    except TimeoutError:
        raise httpcore2.ConnectTimeout(f"{host} wasn't found in time") from None
    except (OSError, UnicodeError):
        raise httpcore2.ConnectError(f"{host} wasn't found") from None
    return list(dict.fromkeys(ip_address(str(place[0])) for *_, place in found))
