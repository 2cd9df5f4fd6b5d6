"""Ports of loopback for what tests start.

The system's own choice, port 0, is of those that outgoing connections leave from too: one
of these, or a test at the same time, may have it before the program that it was meant for.
"""

import itertools
import os
import socket

_FIRST = 10_000
_EACH = 500
_RANGES = 40
"""Up to 29,999: Linux, macOS and Windows let no connection leave from there by themselves."""

_begin = _FIRST + os.getpid() % _RANGES * _EACH
_ports = itertools.cycle(range(_begin, _begin + _EACH))


def free_port() -> int:
    """A port that nobody listens on now, and that is no other test's soon."""
    return next(port for port in _ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
