"""Whether an address can be reached from this machine alone."""

from ipaddress import IPv6Address, ip_address


def is_loopback(address: str) -> bool:
    """For an IP address, IPv4 within IPv6 included, or a host name; of names only localhost is."""
    try:
        found = ip_address(address)
    except ValueError:
        return address == "localhost"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback
