"""What listens at a coordinator's address, where no coordinator is heard."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import trustme

from scoord.config import load
from scoord.errors import InvalidConfig
from scoord_agent import spawn
from scoord_agent.cli import proof
from support.ports import free_port
from support.serving import serving


@pytest.fixture(params=[False, True], ids=["any client", "known clients"])
async def by_tls(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A gRPC server that speaks TLS."""
    authority = trustme.CA()
    issued, root = authority.issue_cert("localhost"), authority.cert_pem.bytes()
    pair = issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()
    credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=request.param)
    server = grpc.aio.server()
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    yield f"localhost:{port}"
    await server.stop(None)


async def test_what_speaks_tls_is_known_also_where_it_wants_a_certificate(by_tls: str) -> None:
    assert await asyncio.to_thread(spawn.speaks_tls, by_tls)


async def test_what_speaks_plaintext_or_is_not_there_does_not_speak_tls() -> None:
    async with serving() as plain:
        assert not await asyncio.to_thread(spawn.speaks_tls, plain)
    assert not spawn.speaks_tls(f"127.0.0.1:{free_port()}")


async def test_nobody_is_told_to_end_a_coordinator_that_speaks_tls(
    by_tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path))
    settings = load(None, tmp_path, {"SCOORD_COORDINATOR_ADDRESSES": by_tls})

    with pytest.raises(InvalidConfig, match=r"speaks TLS.* set coordinator\.ca in") as caught:
        await asyncio.to_thread(proof.is_served, by_tls, settings)
    assert "end it" not in caught.value.message


def test_an_address_that_is_bound_by_another_is_told_of_without_pythons_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        settings = load(None, tmp_path, {"SCOORD_COORDINATOR_ADDRESSES": address})
        with pytest.raises(InvalidConfig) as caught:
            proof.ask(settings)

    assert f"cannot listen on {address}: Address already in use; set " in caught.value.message
