"""``HOST:PORT`` as people and settings write it."""

import ipaddress


def split(address: str) -> tuple[str, str]:
    """Return host and port; brackets around an IPv6 host are dropped. Neither is checked."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def is_whole(address: str, *, least_port: int = 1) -> bool:
    """Whether it names a host, and a port that there may be; neither is looked up.

    Who listens may name port 0, for any that is free.
    """
    host, port = split(address)
    is_number = port.isascii() and port.isdigit()
    return bool(host) and is_number and least_port <= int(port) <= 65535


def joined(host: str, port: int) -> str:
    """Return the two as an address, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this machine and no other.

    Nobody is asked: another name than ``localhost`` may stand for anything.
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
