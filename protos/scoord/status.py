"""Errors of the catalogue to and from gRPC status, and what the metadata are called.

The only file that knows both.

The status code tells a client library what to do; the exact failure travels in
the trailing metadata under ``scoord-error``, and is never parsed from text.
"""

from collections.abc import Iterable
from typing import Any

import grpc

from scoord.errors import (
    BY_CODE,
    Contended,
    CoordinatorUnreachable,
    DeadlineExceeded,
    InternalError,
    InvalidConfig,
    InvalidPath,
    InvalidRequest,
    Lagging,
    LimitReached,
    NotAllowed,
    ScoordError,
    SessionEnded,
    SessionNotFound,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    TaskNotFound,
)

METADATA_KEY = "scoord-error"
MACHINE_KEY = "scoord-machine"
PERSON_KEY = "scoord-person"
"""What an agent says of itself beside each request; the person is quoted as in a URL."""

STATUS: dict[type[ScoordError], grpc.StatusCode] = {
    InvalidPath: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidConfig: grpc.StatusCode.INVALID_ARGUMENT,
    SessionNotFound: grpc.StatusCode.NOT_FOUND,
    SessionEnded: grpc.StatusCode.FAILED_PRECONDITION,
    TaskNotFound: grpc.StatusCode.NOT_FOUND,
    LimitReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotAllowed: grpc.StatusCode.PERMISSION_DENIED,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    CoordinatorUnreachable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Contended: grpc.StatusCode.ABORTED,
    Lagging: grpc.StatusCode.ABORTED,
    StoreDamaged: grpc.StatusCode.DATA_LOSS,
    InternalError: grpc.StatusCode.INTERNAL,
}
"""What each failure looks like on the wire. UNAVAILABLE says: try this call
again; ABORTED: try the larger step again; FAILED_PRECONDITION: not before
something changed (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""


def status_of(error: ScoordError) -> grpc.StatusCode:
    """Its status: one that a program refines goes out as the failure that it is a kind of."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def trailing_metadata(error: ScoordError) -> tuple[tuple[str, str], ...]:
    """What goes beside the status, so that the exact failure survives."""
    return ((METADATA_KEY, error.code),)


def from_rpc_error(error: grpc.aio.AioRpcError, endpoint: str) -> ScoordError:
    """The failure behind a gRPC error that ``endpoint`` answered, or did not answer."""
    # The stubs do not know that a metadatum is a pair.
    pairs: Iterable[Any] = error.trailing_metadata() or ()
    code = next((value for key, value in pairs if key == METADATA_KEY), "")
    if entry := BY_CODE.get(str(code)):
        return entry.error(error.details() or entry.advice)
    return _without_metadata(error, endpoint)


def _without_metadata(error: grpc.aio.AioRpcError, endpoint: str) -> ScoordError:
    """A failure of the transport, or of something between."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"the coordinator at {endpoint} did not answer in time")
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        why = _why_unreachable(error.details() or "")
        return CoordinatorUnreachable(f"the coordinator at {endpoint} cannot be reached{why}")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return InternalError(f"the coordinator at {endpoint} is of a version without this")
    return InternalError(f"the coordinator at {endpoint} failed: {error.code().name}")


def _why_unreachable(details: str) -> str:
    """What a user can do something about, of the reasons that gRPC gives in words only."""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return ": its certificate is not one that coordinator.ca vouches for"
    if "Hostname Verification" in details:
        return ": its certificate does not have this name"
    # Who is turned away hears no reason. A connection that was made and broke off is called less.
    if "failed to connect" in details and "Socket closed" in details:
        return ": it ended the connection; does it want TLS, or coordinator.cert and key?"
    if "handshake" in details.lower():
        return ": no TLS with it; see coordinator.ca, cert and key, and what it serves"
    if "domain name not found" in details.lower():
        return ": its name is not known"
    known = ("connection refused", "no route to host", "network is unreachable")
    return next((f": {why}" for why in known if why in details.lower()), "")
