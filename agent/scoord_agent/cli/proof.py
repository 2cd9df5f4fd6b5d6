"""Whether settings can work, before what works by others is ended for them."""

import asyncio
import os
import socket
from typing import Final

from scoord import addresses, local
from scoord.config import CONFIG_FILE, Settings
from scoord.errors import InvalidConfig
from scoord_agent import own, spawn
from scoord_agent.cli.pictures import Picture
from scoord_agent.client_options import check_options, client_options
from scoord_agent.coordinator import silence
from scoord_agent.spawn import COORDINATOR
from scoord_agent.wording_settings import port_taken

PROBE_S: Final = 3.0
"""A coordinator on this machine answers in milliseconds, unless the machine is very busy."""


def check(settings: Settings) -> None:
    """Refuse settings by which no agent can speak with a coordinator. Raises InvalidConfig."""
    check_options(client_options(settings))


def prove(settings: Settings, now: Picture) -> None:
    """See that an agent by these settings would work, if the one that is seen now does.

    Raises InvalidConfig, or what keeps the coordinator that they name from answering.
    """
    check(settings)
    port = local.agent_port()
    if now.agent.port != port and _refusal(f"127.0.0.1:{port}"):
        raise InvalidConfig(port_taken(port))
    if now.coordinator.connected:
        ask(settings)


def ask(settings: Settings) -> None:
    """See that the coordinator of these settings answers, or that ours may be started there.

    Raises as ``prove`` does.
    """
    address = own.may_be_ours(settings.coordinator)
    if address is None:
        _see_answering(settings)
    elif not _runs_at(address) and not is_served(address, settings) and (why := _refusal(address)):
        otherwise = f"set coordinator.addresses in {local.config_dir() / CONFIG_FILE}"
        raise InvalidConfig(f"cannot listen on {address}: {why}; {otherwise}")


def is_served(address: str, settings: Settings) -> bool:
    """Whether a coordinator serves there that is not the one we started.

    Raises InvalidConfig if it is another program.
    """
    if _runs_at(address) or not spawn.is_listening(address):
        return False
    if asyncio.run(silence(client_options(settings), PROBE_S)):
        raise InvalidConfig(_stranger(address))
    return True


def _stranger(address: str) -> str:
    """What is to be done about what listens at an address and is not heard as a coordinator."""
    file = local.config_dir() / CONFIG_FILE
    if spawn.speaks_tls(address):
        return (
            f"what listens at {address} speaks TLS; if it is your coordinator, or a tunnel to it,"
            f" set coordinator.ca in {file}, else coordinator.addresses"
        )
    return f"{address} is taken by another program; end it, or set coordinator.addresses in {file}"


def _runs_at(address: str) -> bool:
    """Whether the coordinator that we started runs, and there."""
    return spawn.running(COORDINATOR) is not None and spawn.recorded_address() == address


def _see_answering(settings: Settings) -> None:
    if failure := asyncio.run(silence(client_options(settings), PROBE_S)):
        raise failure


def _refusal(address: str) -> str:
    """Why no program of ours could listen on an address; empty if one could."""
    host, port = addresses.split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        return os.strerror(error.errno or 0)  # Python's own text says more, to programmers
    return ""
