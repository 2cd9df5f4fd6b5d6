"""Where the coordinators are and how to speak with them: what the settings say, and what may be."""

from dataclasses import dataclass
from pathlib import Path

from scoord.addresses import is_loopback, split
from scoord.config import Settings
from scoord.errors import InvalidConfig
from scoord_agent import tls_files


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Where the coordinators are and how to speak with them."""

    addresses: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False
    rpc_timeout_s: float = 2.0
    machine: str = ""
    person: str = ""


def client_options(settings: Settings, machine: str = "", person: str = "") -> ClientOptions:
    """How to speak with the coordinators that the settings name."""
    chosen = settings.coordinator
    return ClientOptions(
        addresses=tuple(chosen.addresses),
        ca=_path(chosen.ca),
        cert=_path(chosen.cert),
        key=_path(chosen.key),
        insecure=chosen.insecure,
        rpc_timeout_s=settings.leases.rpc_timeout,
        machine=machine,
        person=person,
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def check_options(options: ClientOptions) -> None:
    """Refuse options by which no coordinator can be spoken to. Raises InvalidConfig."""
    if options.ca:
        tls_files.check(options.ca, options.cert, options.key)
        return
    for address in options.addresses:
        _check_plaintext(address, options)


def _check_plaintext(address: str, options: ClientOptions) -> None:
    if options.insecure or is_loopback(split(address)[0]):
        return
    raise InvalidConfig(
        f"coordinator.addresses: {address} is not loopback: set coordinator.ca to reach it by TLS,"
        " or coordinator.insecure to speak with it in plaintext"
    )
