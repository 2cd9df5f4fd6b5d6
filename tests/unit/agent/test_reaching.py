"""What keeps a coordinator from being spoken to, before anything depends on it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scoord.errors import CoordinatorUnreachable, InvalidConfig
from scoord.status import from_rpc_error
from scoord_agent import tls_files
from scoord_agent.client_options import ClientOptions
from scoord_agent.coordinator import silence
from support.ports import free_port
from support.serving import serving


@pytest.fixture
async def stranger() -> AsyncIterator[str]:
    """A gRPC server that has none of our services."""
    async with serving() as where:
        yield where


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = trustme.CA().issue_cert("coordinator.example.org")
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key


@pytest.fixture
def short_pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key, which gRPC takes and OpenSSL has been told not to."""
    private = rsa.generate_private_key(65537, 1024)
    name, now = x509.Name([]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), 1, now, now + timedelta(1))
    signed = made.sign(private, hashes.SHA256())
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return cert, key


async def test_where_nobody_listens_no_coordinator_is_heard() -> None:
    failure = await silence(ClientOptions((f"127.0.0.1:{free_port()}",)), 3.0)

    assert isinstance(failure, CoordinatorUnreachable)
    assert failure.message.endswith("cannot be reached: connection refused")


TO_ALL = "failed to connect to all addresses; last error: "
NO_NAME = (
    "Custom verification check failed with error:"
    " UNAUTHENTICATED: Hostname Verification Check failed."
)


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ("errors resolving a:1: [address lookup failed for a:1: Domain name not found]", "name"),
        ("ipv4:192.0.2.1:1: Failed to connect to remote host: No route to host", "no route"),
        ("Socket closed", ""),
        (f"{TO_ALL}UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "does it want TLS, or"),
        (
            f"{TO_ALL}UNKNOWN: ipv4:127.0.0.1:1: {NO_NAME}",
            "its certificate does not have this name",
        ),
    ],
)
def test_why_no_coordinator_is_heard_is_told_where_grpc_knows(details: str, why: str) -> None:
    unavailable, nothing = grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(unavailable, nothing, nothing, details, "")

    told = from_rpc_error(error, "a:1").message

    assert told.startswith("the coordinator at a:1 cannot be reached")
    assert bool(why) == (": " in told)
    assert why in told


async def test_another_program_is_no_coordinator(stranger: str) -> None:
    failure = await silence(ClientOptions((stranger,)), 3.0)

    assert isinstance(failure, CoordinatorUnreachable)
    assert failure.message == f"what answers at {stranger} is no coordinator"


def test_a_certificate_and_its_key_can_be_used(pair: tuple[Path, Path]) -> None:
    cert, key = pair
    tls_files.check(cert, cert, key)


def test_a_key_that_is_short_is_for_grpc_to_take(short_pair: tuple[Path, Path]) -> None:
    cert, key = short_pair
    tls_files.check(cert, cert, key)


def test_what_has_no_certificate_in_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate\n")

    with pytest.raises(InvalidConfig, match=r"coordinator\.ca: .*ca\.pem has no certificate"):
        tls_files.check(file, None, None)


def test_a_key_that_is_not_the_certificates_is_named(pair: tuple[Path, Path]) -> None:
    cert, _ = pair

    with pytest.raises(InvalidConfig, match=r"are not a certificate and its key"):
        tls_files.check(cert, cert, cert)


def test_all_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        tls_files.check(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")

    assert [line.partition(":")[0] for line in caught.value.lines] == [
        "coordinator.ca",
        "coordinator.cert",
        "coordinator.key",
    ]
