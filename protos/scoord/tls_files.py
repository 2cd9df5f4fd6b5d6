"""Whether files that TLS needs can be used, before anything is done by them.

gRPC takes any bytes for certificates, and says at the first connection that none
was made, not why.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from scoord.errors import InvalidConfig
from scoord.regular import why_unreadable

Named = tuple[str, Path | None]
"""What a file is given as, and the file, if it is."""


def check_readable(given: Iterable[Named]) -> None:
    """Refuse what cannot be read; all of it is named. Raises InvalidConfig."""
    files = [(name, file) for name, file in given if file]
    if wrong := [f"{name}: {why}" for name, file in files if (why := why_unreadable(file))]:
        raise InvalidConfig("\n".join(wrong))


def check_certificate(given: Named) -> None:
    """Refuse a file that has no certificate. Raises InvalidConfig."""
    name, file = given
    try:
        if file:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise InvalidConfig(f"{name}: {file} has no certificate that can be read") from error


def check_pair(cert: Path, key: Path | None, otherwise: str) -> None:
    """Refuse what is not a certificate and its key, unencrypted. Raises InvalidConfig."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # gRPC takes keys, too, that are short of what this machine's OpenSSL wants.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        # An encrypted key would have its password asked for at the terminal.
        context.load_cert_chain(cert, key, password=str)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidConfig(f"{otherwise}, unencrypted") from error
