"""What a caller is told, and the log, of an RPC that fails by none of the catalogue's errors."""

from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import DecodeError

from scoord_server.rpc.interceptors import Boundary

NEWER, FAULT = DecodeError("wrong wire type"), RuntimeError("boom")


class AbortedError(Exception):
    """Leaves an RPC, with what its caller is told."""


class Call:
    """A call of a client that says nothing beside its request."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> float | None:
        return None

    async def abort(self, _code: grpc.StatusCode, details: str, _metadata: Any) -> None:
        raise AbortedError(details)


async def _aborted(error: Exception) -> str:
    """What a caller is told of an RPC that fails by ``error``."""

    async def fails(_request: Any, _context: Any) -> None:
        raise error

    async def method(_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(fails)

    details = cast("grpc.HandlerCallDetails", SimpleNamespace(method="/scoord.v1.Locks/Acquire"))
    wrapped = await Boundary().intercept_service(method, details)
    with pytest.raises(AbortedError) as aborted:
        await wrapped.unary_unary(None, Call())
    return str(aborted.value)


@pytest.mark.parametrize(
    ("error", "told", "logged"),
    [
        (NEWER, "a newer version wrote is in the way", "on what this version cannot read"),
        (FAULT, "see the coordinator's log", "in a way nobody foresaw"),
    ],
    ids=["newer", "fault"],
)
async def test_what_cannot_be_read_is_told_and_logged_as_that(
    error: Exception, told: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told in await _aborted(error)
    assert [f"an RPC of a machine without a name failed {logged}"] == caplog.messages
