"""Whether the files that TLS needs can be used, before anything is done by them.

gRPC takes any bytes for certificates, and says at the first connection that none
was made, not why.
"""

import ssl
from pathlib import Path

from scoord.errors import InvalidConfig
from scoord.regular import why_unreadable


def check(ca: Path, cert: Path | None, key: Path | None) -> None:
    """Refuse what cannot be read, or is not what it is given as. Raises InvalidConfig."""
    given = {"ca": ca, "cert": cert, "key": key}
    reasons = {name: why_unreadable(file) for name, file in given.items() if file}
    if wrong := [f"coordinator.{name}: {why}" for name, why in reasons.items() if why]:
        raise InvalidConfig("\n".join(wrong))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise InvalidConfig(f"coordinator.ca: {ca} has no certificate that can be read") from error
    if cert:
        _check_pair(context, cert, key)


def _check_pair(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    try:
        # An encrypted key would have its password asked for at the terminal.
        context.load_cert_chain(cert, key, password=str)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidConfig(
            f"coordinator.cert and key: {cert} and {key} are not a certificate and its key,"
            " unencrypted"
        ) from error
