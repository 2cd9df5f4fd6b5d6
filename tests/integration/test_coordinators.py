"""Several coordinators, how one ends, and how agents trust them."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme

from scoord.v1.events_pb2 import WatchRequest
from scoord.v1.events_pb2_grpc import EventServiceStub
from support.etcd import Etcd
from support.machines import CodingSession, Machine, machines, refusal, repository
from support.pair import ORIGIN
from support.ports import free_port
from support.processes import CoordinatorProcess, coordinator, etcd_store, wait_until

FILES = {"auth.py": "", "b.py": "", "c.py": ""}
ANSWER_S = 2.5
BLOCK = {"SCOORD_UNREACHABLE_ACTION": "block"}


# -- more than one -----------------------------------------------------------------------


@dataclass(frozen=True)
class Replicas:
    first: CoordinatorProcess
    second: CoordinatorProcess
    session: CodingSession


@pytest.fixture
def replicas(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[Replicas]:
    """Two coordinators on one etcd, and an agent that knows both; it asks the first one first."""
    store = etcd_store(etcd, namespace)
    with coordinator(tmp_path, *store) as first, coordinator(tmp_path, *store) as second:
        both = f"{first.address},{second.address}"
        machine = Machine(tmp_path / "home", "alice", both, **BLOCK)
        with machines(machine):
            session = machine.session(repository(tmp_path / "shop", FILES, f"{ORIGIN}/two"))
            session.start()
            assert {} == session.edit("auth.py")
            yield Replicas(first, second, session)


def tokens(session: CodingSession) -> dict[str, int]:
    locks = session.machine.status(session.cwd)["locks"]
    return {lock["path"]: lock["token"] for lock in locks}


@pytest.mark.etcd
def test_when_one_coordinator_is_killed_the_other_answers_the_next_edit(
    replicas: Replicas,
) -> None:
    before = tokens(replicas.session)

    replicas.first.kill()
    begun = time.monotonic()
    assert {} == replicas.session.edit("b.py")

    assert time.monotonic() - begun < ANSWER_S
    # What is listed is what the coordinator has heard of, a moment after it granted it.
    wait_until("both are listed", lambda: {"auth.py", "b.py"} == set(tokens(replicas.session)))
    assert before["auth.py"] == tokens(replicas.session)["auth.py"]


@pytest.mark.etcd
def test_when_one_coordinator_hangs_the_other_answers_the_next_edit(replicas: Replicas) -> None:
    replicas.first.freeze()
    try:
        begun = time.monotonic()
        assert {} == replicas.session.edit("b.py")
        assert time.monotonic() - begun < ANSWER_S
        begun = time.monotonic()
        assert {} == replicas.session.edit("c.py")
        assert time.monotonic() - begun < 0.5, "the one that hangs is not asked again"
    finally:
        replicas.first.thaw()


SWEPT_S = 2.5
"""Within this a coordinator that goes on has looked for what is overdue."""


@pytest.mark.etcd
def test_one_that_stood_still_takes_nothing_away_at_an_end_that_was_moved(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    store = etcd_store(etcd, namespace)
    with coordinator(tmp_path, *store) as first, coordinator(tmp_path, *store) as second:
        machine = Machine(tmp_path / "home", "alice", first.address, **BLOCK)
        with machines(machine):
            session = machine.running_session(repository(tmp_path / "shop", FILES, ORIGIN))
            session.start()
            session.run("lock", "auth.py", "--for", "4s")
            time.sleep(1)
            second.freeze()
            session.run("lock", "auth.py", "--for", "30m")
            held = tokens(session)
            time.sleep(4)
            second.thaw()
            time.sleep(SWEPT_S)
            assert held == tokens(session)
            assert "auth.py" in held
            session.kill()


def test_a_coordinator_that_was_never_there_is_passed_over(tmp_path: Path) -> None:
    with coordinator(tmp_path, *embedded(tmp_path)) as running:
        dead = f"127.0.0.1:{free_port()}"
        machine = Machine(tmp_path / "home", "alice", f"{dead},{running.address}", **BLOCK)
        with machines(machine):
            assert takes_a_lock(machine, tmp_path)


def embedded(directory: Path) -> tuple[str, ...]:
    return ("--embedded", "--data", str(directory / "store"))


def takes_a_lock(machine: Machine, directory: Path) -> bool:
    root = repository(directory / "shop", FILES, f"{ORIGIN}/{directory.name}")
    return {} == machine.session(root).edit("auth.py")


@contextmanager
def restartable(directory: Path, port: int) -> Iterator[CoordinatorProcess]:
    """A coordinator on that port, with the store that is there."""
    directory.mkdir(exist_ok=True)
    running = CoordinatorProcess(directory, embedded(directory.parent), port, {})
    try:
        running.wait_ready()
        yield running
    finally:
        running.kill()


def test_a_lock_taken_for_a_time_ends_then_though_its_coordinator_restarts(tmp_path: Path) -> None:
    port, lasts_s, restarts_after_s = free_port(), 6.0, 4.0
    machine = Machine(tmp_path / "home", "alice", f"127.0.0.1:{port}")
    session = machine.running_session(repository(tmp_path / "shop", FILES, f"{ORIGIN}/for"))
    with machines(machine):
        with restartable(tmp_path / "first", port):
            session.start()
            begun = time.monotonic()
            session.run("lock", "src/**", "--for", f"{lasts_s:g}s")
            time.sleep(restarts_after_s)
        with restartable(tmp_path / "again", port):
            again_s = wait_until("it has ended", lambda: not tokens(session))
            assert time.monotonic() - begun > lasts_s
            assert again_s < restarts_after_s, "its time does not begin anew"
        session.kill()


# -- the end of one ----------------------------------------------------------------------


def terminated(running: CoordinatorProcess) -> float:
    """The seconds it took to end, which was in order."""
    begun = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert 0 == running.process.wait(timeout=10)
    return time.monotonic() - begun


def test_streams_end_at_once_when_a_coordinator_is_told_to_stop(tmp_path: Path) -> None:
    with (
        coordinator(tmp_path, *embedded(tmp_path)) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        stream = iter(EventServiceStub(channel).Watch(WatchRequest()))
        assert next(stream).HasField("snapshot")

        assert terminated(running) < 2
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert grpc.StatusCode.ABORTED == ended.value.code()


@pytest.mark.etcd
def test_a_call_that_is_on_its_way_is_finished_before_the_end(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        machine = Machine(tmp_path / "home", "alice", running.address, **BLOCK)
        with machines(machine), ThreadPoolExecutor() as pool:
            session = machine.session(repository(tmp_path / "shop", FILES, f"{ORIGIN}/drain"))
            session.start()
            etcd.member.send(signal.SIGSTOP)
            try:
                asked = pool.submit(session.edit, "auth.py")
                time.sleep(0.3)
                running.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            finally:
                etcd.member.send(signal.SIGCONT)

            assert {} == asked.result()
            assert 0 == running.process.wait(timeout=10)


# -- trust -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Certificates of a coordinator and of an agent, by one authority."""

    ca: str
    cert: str
    key: str
    agent_cert: str
    agent_key: str


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issued(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Certificates by an authority that nobody here trusts."""
    return issued(tmp_path_factory.mktemp("others"))


def issued(directory: Path) -> Files:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    agent = authority.issue_cert("alice@example.org")
    written = Files(*(str(directory / name) for name in ("ca", "cert", "key", "acert", "akey")))
    authority.cert_pem.write_to_path(written.ca)
    for leaf, cert, key in (
        (server, written.cert, written.key),
        (agent, written.agent_cert, written.agent_key),
    ):
        leaf.cert_chain_pems[0].write_to_path(cert)
        leaf.private_key_pem.write_to_path(key)
    return written


def serving(files: Files, *more: str) -> tuple[str, ...]:
    return ("--tls-cert", files.cert, "--tls-key", files.key, *more)


def trusting(files: Files, *, certified: bool = False) -> dict[str, str]:
    own = {
        "SCOORD_COORDINATOR_CERT": files.agent_cert,
        "SCOORD_COORDINATOR_KEY": files.agent_key,
    }
    return {"SCOORD_COORDINATOR_CA": files.ca} | (own if certified else {}) | BLOCK


def told_over(tmp_path: Path, options: tuple[str, ...], env: dict[str, str]) -> str:
    """Why an edit is denied between a coordinator and an agent so set up; empty if it is not."""
    with coordinator(tmp_path, *embedded(tmp_path), *options) as running:
        machine = Machine(tmp_path / "home", "alice", running.address, **env)
        with machines(machine):
            root = repository(tmp_path / "shop", FILES, f"{ORIGIN}/{tmp_path.name}")
            told = refusal(machine.session(root).edit("auth.py"))
            assert machine.agent is not None
            assert "" == machine.agent.output(), "gRPC itself says nothing"
            return told


def test_a_coordinator_with_a_trusted_certificate_is_spoken_with(
    tmp_path: Path, files: Files
) -> None:
    assert "" == told_over(tmp_path, serving(files), trusting(files))


def test_an_agent_shows_its_certificate_where_one_is_asked_for(
    tmp_path: Path, files: Files
) -> None:
    options = serving(files, "--tls-client-ca", files.ca)

    assert "" == told_over(tmp_path, options, trusting(files, certified=True))


def test_a_coordinator_of_another_authority_is_not_spoken_with(
    tmp_path: Path, files: Files, others: Files
) -> None:
    told = told_over(tmp_path, serving(files), trusting(others))

    assert "no lock can be taken now" in told
    assert "its certificate is not one that coordinator.ca vouches for" in told


@pytest.mark.parametrize("certified", [False, True], ids=["no certificate", "another's"])
def test_an_agent_without_the_right_certificate_is_turned_away(
    tmp_path: Path, files: Files, others: Files, certified: bool
) -> None:
    env = trusting(others, certified=certified) | {"SCOORD_COORDINATOR_CA": files.ca}

    told = told_over(tmp_path, serving(files, "--tls-client-ca", files.ca), env)

    assert "no lock can be taken now" in told
    assert "does it want TLS, or coordinator.cert and key?" in told


def test_plaintext_does_not_reach_a_coordinator_that_serves_tls(
    tmp_path: Path, files: Files
) -> None:
    assert "no lock can be taken now" in told_over(tmp_path, serving(files), BLOCK)
