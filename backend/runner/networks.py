"""Which addresses anybody may name, and which only the administrator."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand out credentials to whoever asks from inside: each is opened by its own address alone.
METADATA: Final = frozenset(
    (
        *map(IPv4Address, ("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42")),
        *map(IPv4Address, ("100.100.100.200", "168.63.129.16", "192.0.0.192")),
        *map(IPv6Address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42")),
    )
)
UNICAST: Final = IPv6Network("2000::/3")  # all that is given out to the public
DOCUMENTS: Final = IPv6Network("3fff::/20")  # of which Python knows only lately that it is for examples
NAT64: Final = IPv6Network("64:ff9b::/96")
ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # in the middle of an address that ends in an IPv4 one


def public(address: Address) -> bool:
    """Whether it is an address of the public internet, by whatever detour."""
    address = _meant(address)
    if address in METADATA:
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    return address in UNICAST and address.is_global and address not in DOCUMENTS


def allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the administrator's list holds it; where credentials are handed out, only as that very address."""
    address = _meant(address)
    within = [network for network in networks if address.version == network.version and address in network]
    return any(network.num_addresses == 1 for network in within) if address in METADATA else bool(within)


def _meant(address: Address) -> Address:
    """Where a packet to this address ends: an IPv6 address may carry the IPv4 one that it is delivered to."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    if address in NAT64 or address.packed[8:12] in ISATAP:
        return IPv4Address(address.packed[12:])
    return IPv6Address(address.packed)  # a zone changes nothing about where it is
