"""What the coordinator is told at start, checked before anything is opened."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from scoord import addresses
from scoord.errors import InvalidConfig
from scoord.tls_files import Named, check_certificate, check_pair, check_readable
from scoord_server.trimming import MOST_LINES

LEAST_COMPACTION_S = 60.0
"""Twice as long as a broken watch is tried again."""

LEAST_LINES = 1_000
"""Lines of history below which a project would not see what it did a moment ago."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate files of the coordinator; with ``client_ca``, agents must show theirs."""

    cert: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one coordinator serves."""

    listen: str
    insecure: bool
    tls: Tls | None
    compaction_s: float
    """How often the store is compacted; 0 for never."""
    history_lines: int = MOST_LINES
    """How many lines of history each project keeps at most."""


def check_compaction(options: ServerOptions) -> None:
    """Refuse an interval in which a broken watch could not be resumed. Raises InvalidConfig."""
    if options.compaction_s and not options.compaction_s >= LEAST_COMPACTION_S:
        raise InvalidConfig(
            f"--compaction-interval {options.compaction_s:g}: want 0 for never, or at least"
            f" {LEAST_COMPACTION_S:g} s, in which broken watches are resumed"
        )


def check_history(options: ServerOptions) -> None:
    """Refuse a history that is too short to be of use. Raises InvalidConfig."""
    if options.history_lines < LEAST_LINES:
        raise InvalidConfig(
            f"--history-lines {options.history_lines}: want at least {LEAST_LINES:,}"
        )


def check_listen(options: ServerOptions) -> None:
    """Refuse plaintext where others can reach it. Raises InvalidConfig."""
    if not addresses.is_whole(options.listen, least_port=0):
        raise InvalidConfig(f"--listen {options.listen}: want HOST:PORT, as in 127.0.0.1:7780")
    if options.tls or options.insecure or _stands_for_loopback(addresses.split(options.listen)[0]):
        return
    raise InvalidConfig(
        f"--listen {options.listen} is not loopback: give --tls-cert and --tls-key,"
        " or say --insecure to serve everyone in plaintext"
    )


def check_tls(options: ServerOptions) -> None:
    """Refuse TLS with files that cannot be used, and name them. Raises InvalidConfig."""
    if tls := options.tls:
        cert, key = ("--tls-cert", tls.cert), ("--tls-key", tls.key)
        _check_files(cert, key, ("--tls-client-ca", tls.client_ca))


def check_etcd_tls(cert: Path | None, key: Path | None, ca: Path | None) -> None:
    """Refuse files for etcd that cannot be used, as those we serve with. Raises InvalidConfig."""
    _check_files(("--etcd-cert", cert), ("--etcd-key", key), ("--etcd-ca", ca))


def _check_files(cert: Named, key: Named, ca: Named) -> None:
    """Refuse what is not what it is given as."""
    check_readable((cert, key, ca))
    check_certificate(cert)
    check_certificate(ca)
    if cert[1] and key[1]:
        check_pair(cert[1], key[1], f"{key[0]}: {key[1]} is not the key of {cert[1]}")


def endpoints_of(given: str) -> tuple[str, ...]:
    """Where etcd is, as people write it: with a comma between two, and maybe a blank."""
    return tuple(filter(None, map(str.strip, given.split(","))))


def _stands_for_loopback(host: str) -> bool:
    """Whether all that ``host`` is looked up as is loopback: we listen there, whatever its name."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise InvalidConfig(f"--listen: the host {host!r} is not known here: {error}") from error
    return bool(host) and all(ipaddress.ip_address(ip).is_loopback for ip in found)


def tls_of(cert: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """The TLS files, if any. Raises InvalidConfig for half of a pair."""
    if cert and key:
        return Tls(cert, key, client_ca)
    given = {"--tls-cert": cert, "--tls-key": key, "--tls-client-ca": client_ca}
    first = next((option for option, file in given.items() if file), None)
    if first is None:
        return None
    missing = [option for option in ("--tls-cert", "--tls-key") if not given[option]]
    raise InvalidConfig(f"{first} needs {' and '.join(missing)} beside it")
