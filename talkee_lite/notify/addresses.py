"""Which addresses are public. Pure."""

from __future__ import annotations

import ipaddress

# What is given out so far of the internet (iana.org/assignments/ipv6-address-space); all else,
# as unique local (RFC 4193) and link-local addresses, belongs to somebody's own network.
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Inside it, but addresses of other kinds: 6to4 (RFC 3056) and for documentation (RFC 9637).
_OTHERS = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("3fff::/20"))
# An IPv4 address in its last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether `text` is an IP address that leads to the internet, and nowhere else.

    An IPv6 address that stands for an IPv4 one is judged by that.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address not in _UNICAST or any(address in other for other in _OTHERS):
            return False
    return address.is_global and not address.is_multicast
