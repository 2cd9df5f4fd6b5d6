"""Two projects on one coordinator: what is busy in one must not take from the other."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from scoord.v1.sessions_pb2 import RegisterRequest, Session, UpdateRequest
from scoord.v1.sessions_pb2_grpc import SessionServiceStub
from scoord_agent.held import QUIET_S
from support.etcd import Etcd
from support.machines import FAST_LEASES, Machine, machines, repository
from support.pair import ORIGIN
from support.processes import coordinator, etcd_store

BUSY = "busy.example.org/other"
STEP_S = 0.5
"""Shorter than the time after which an idle store says that it lives."""


@contextmanager
def at_work(address: str) -> Iterator[None]:
    """A session of another project that changes all the time."""
    over = threading.Event()
    session = Session(project=BUSY, session_id="Session_other_1_x", machine_id="m9", person="zoe")

    def work() -> None:
        with grpc.insecure_channel(address) as channel:
            stub = SessionServiceStub(channel)
            request = RegisterRequest(request_id="r1", session=session)
            request.lease_ttl.FromSeconds(60)
            stub.Register(request, timeout=5)
            edits = 0
            while not over.wait(STEP_S):
                edits += 1
                update = UpdateRequest(
                    request_id=f"r{edits}",
                    project=BUSY,
                    session_id=session.session_id,
                    edits=edits,
                )
                stub.Update(update, timeout=5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.etcd
def test_own_files_stay_editable_without_a_coordinator_though_another_project_was_busy(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    belief_s = float(FAST_LEASES["SCOORD_LEASES_BELIEF"])
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        alice = Machine(
            tmp_path / "home", "alice", running.address, SCOORD_UNREACHABLE_ACTION="block"
        )
        with machines(alice):
            root = repository(tmp_path / "shop", {"auth.py": ""}, f"{ORIGIN}/quiet")
            session = alice.session(root)
            session.start()
            with at_work(running.address):
                assert {} == session.edit("auth.py")
                time.sleep(belief_s + QUIET_S + 1)
            running.freeze()

            assert {} == session.edit("auth.py")
            assert {} == session.edited("auth.py")
            running.thaw()
