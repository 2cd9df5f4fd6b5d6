"""Whether the files that the agent's TLS needs can be used, before anything is done by them."""

from pathlib import Path

from scoord.tls_files import check_certificate, check_pair, check_readable


def check(ca: Path, cert: Path | None, key: Path | None) -> None:
    """Refuse what cannot be read, or is not what it is given as. Raises InvalidConfig."""
    authority = ("coordinator.ca", ca)
    check_readable((authority, ("coordinator.cert", cert), ("coordinator.key", key)))
    check_certificate(authority)
    if cert:
        named = f"coordinator.cert and key: {cert} and {key}"
        check_pair(cert, key, f"{named} are not a certificate and its key")
