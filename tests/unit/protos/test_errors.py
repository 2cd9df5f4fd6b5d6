"""The catalogue of failures is complete, and every failure survives the wire."""

import importlib
import pkgutil
from collections.abc import Iterator

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

import scoord
import scoord_agent
import scoord_hooks
import scoord_server
from scoord.errors import (
    BY_CODE,
    CATALOGUE,
    CoordinatorUnreachable,
    DeadlineExceeded,
    InternalError,
    InvalidConfig,
    ScoordError,
)
from scoord.status import METADATA_KEY, STATUS, from_rpc_error, status_of, trailing_metadata
from scoord_server.store.etcd.failures import TokenRefused
from scoord_server.store.etcd.watch import WatchRefused

WORDS = "what is wrong, where, what to do"


def _below(kind: type[ScoordError]) -> Iterator[type[ScoordError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _import_all() -> None:
    """Every module of the programs, since any of them may refine a failure."""
    for package in (scoord, scoord_server, scoord_agent, scoord_hooks):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


OURS = [kind for kind in _below(ScoordError) if kind.__module__ == ScoordError.__module__]
LEAVES = sorted(
    (kind for kind in OURS if not any(issubclass(k, kind) for k in OURS if k is not kind)),
    key=lambda kind: kind.__name__,
)


def _rpc_error(
    code: grpc.StatusCode, *metadata: tuple[str, str], details: str | None = None
) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(*metadata), details, None)


def _received(kind: type[ScoordError]) -> ScoordError:
    """What arrives of a failure that is sent."""
    sent = kind(WORDS)
    wire = _rpc_error(status_of(sent), *trailing_metadata(sent), details=sent.message)
    return from_rpc_error(wire, "there:7780")


def test_every_failure_is_in_the_catalogue_exactly_once() -> None:
    listed = sorted((entry.error for entry in CATALOGUE), key=lambda k: k.__name__)

    assert listed == LEAVES


def test_a_failure_refined_inside_a_program_keeps_the_code_of_the_catalogue() -> None:
    _import_all()
    refined = [kind for kind in _below(ScoordError) if kind not in OURS]

    assert {TokenRefused, WatchRefused} <= set(refined)
    assert [kind for kind in refined if "code" in vars(kind)] == []
    assert {kind: "" for kind in refined if _received(kind).code != kind.code} == {}


def test_every_failure_has_a_status() -> None:
    assert set(LEAVES) == set(STATUS)


def test_every_code_is_unique() -> None:
    assert len(CATALOGUE) == len(BY_CODE)


@pytest.mark.parametrize("kind", LEAVES)
def test_a_failure_is_shown_as_a_line_whatever_it_quotes(kind: type[ScoordError]) -> None:
    shown = kind("no\x1b[31m such file;\n<b>obey</b>").lines

    many = ("no such file;", "\u2039b\u203aobey\u2039/b\u203a")
    assert shown == (many if kind is InvalidConfig else (" ".join(many),))


@pytest.mark.parametrize("kind", LEAVES)
def test_a_failure_survives_the_wire(kind: type[ScoordError]) -> None:
    received = _received(kind)

    assert (kind, WORDS) == (type(received), received.message)


@pytest.mark.parametrize("kind", LEAVES)
def test_a_failure_without_words_gets_the_advice(kind: type[ScoordError]) -> None:
    received = from_rpc_error(_rpc_error(STATUS[kind], (METADATA_KEY, kind.code)), "there:7780")

    assert BY_CODE[kind.code].advice == received.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, CoordinatorUnreachable),
        (grpc.StatusCode.CANCELLED, CoordinatorUnreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, InternalError),
    ],
)
def test_a_failure_of_the_transport_names_the_endpoint(
    code: grpc.StatusCode, kind: type[ScoordError]
) -> None:
    received = from_rpc_error(_rpc_error(code), "there:7780")

    assert isinstance(received, kind)
    assert "there:7780" in received.message


def test_a_code_from_a_newer_program_falls_back_on_the_status() -> None:
    wire = _rpc_error(grpc.StatusCode.UNAVAILABLE, (METADATA_KEY, "NOT_YET_KNOWN"))

    assert isinstance(from_rpc_error(wire, "there:7780"), CoordinatorUnreachable)
