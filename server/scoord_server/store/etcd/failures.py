"""What etcd and gRPC say, in the words of the port and the catalogue."""

import grpc
from grpc import StatusCode
from grpc.aio import AioRpcError

from scoord.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ScoordError,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)
from scoord_server.store.port import Denied, LeaseExists, LeaseNotFound

_TOKEN_TROUBLE = ("invalid auth token", "user name is empty", "revision of auth store is old")
"""etcd's words for a token that was lost in a restart, timed out, or is outdated."""

_AUTH_ADVICE = "try again, and where no --etcd-user is given, give one"

_NO_LEADER = "etcdserver: no leader"
_LEARNER = "not supported for learner"
_NO_USERS = "authentication is not enabled"
_NOT_HERE = (_NO_LEADER, _LEARNER, _NO_USERS)
_NO_SPACE = "database space exceeded"
_TOO_BIG = "message larger than max"
"""gRPC's words for a request so big that etcd does not even read it."""


class TokenRefused(StoreUnavailable):
    """A new token would help; nothing was done, since etcd looks at the token first."""


class NotHere(StoreUnavailable):
    """Another member may do it; of a call nothing was done, since a member looks first."""


def explain(error: AioRpcError, address: str, deadline_s: float) -> Exception:
    """Say what an error of a call to ``address`` means to the port's caller."""
    code, details = error.code(), error.details() or "no details"
    if code is StatusCode.NOT_FOUND and "lease" in details:
        return LeaseNotFound(details)
    if code is StatusCode.FAILED_PRECONDITION and "lease" in details:
        return LeaseExists(details)
    if is_token_trouble(details):
        return TokenRefused(f"etcd at {address} refuses our token: {details}; {_AUTH_ADVICE}")
    if any(words in details for words in _NOT_HERE):
        return NotHere(f"etcd at {address} cannot be used: {details}; {_advice(code, details)}")
    return _failure(code, details, address, deadline_s)


def is_token_trouble(details: str) -> bool:
    """Whether a new token would help."""
    return any(words in details for words in _TOKEN_TROUBLE)


def _failure(code: grpc.StatusCode, details: str, address: str, deadline_s: float) -> ScoordError:
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(
            f"etcd at {address} did not answer within {deadline_s} s; it may still have been done"
        )
    if code in (StatusCode.INVALID_ARGUMENT, StatusCode.OUT_OF_RANGE) or _TOO_BIG in details:
        return InvalidRequest(f"etcd at {address} refuses the request: {details}")
    if code is StatusCode.DATA_LOSS:
        return StoreDamaged(f"etcd at {address} reports damage: {details}; see etcd's log")
    failure = _kind(code, details)
    return failure(f"etcd at {address} cannot be used: {details}; {_advice(code, details)}")


def _kind(code: grpc.StatusCode, details: str) -> type[ScoordError]:
    if code is StatusCode.PERMISSION_DENIED:
        return Denied
    return StoreFull if _NO_SPACE in details else StoreUnavailable


def _advice(code: grpc.StatusCode, details: str) -> str:
    if code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED):
        return "check the user, the password and the role given to it"
    if _NO_LEADER in details:
        return "check that most of its members run and reach each other"
    if _LEARNER in details:
        return "name a voting member of it, too"
    if _NO_USERS in details:
        return "give no --etcd-user, or enable it; where it was, this member lost its disk"
    if _NO_SPACE in details:
        return "compact, defragment and disarm its alarm, or raise its quota"
    return "check that it runs, that the endpoint is right, and with TLS the certificates of both"
