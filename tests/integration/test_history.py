"""History as people see it: across machines, followed, archived, kept for a while, refreshed."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.v1 import history_pb2 as pb
from scoord.v1.history_pb2_grpc import HistoryServiceStub
from scoord.v1.sessions_pb2 import EndRequest, RegisterRequest, Session
from scoord.v1.sessions_pb2_grpc import SessionServiceStub
from support.etcd import Etcd
from support.machines import (
    FAST_LEASES,
    CodingSession,
    Machine,
    clone,
    context,
    machines,
    refusal,
    repository,
    seconds_until,
)
from support.odd_coordinator import odd_coordinator
from support.ports import free_port
from support.processes import CoordinatorProcess, coordinator, etcd_store, wait_until

ORIGIN = "git@git.example.org:team/shop.git"
PROJECT = "git.example.org/team/shop"
TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
FILES = {"auth.py": "", "src/cart.py": "", "src/order.py": ""}


@dataclass
class Team:
    """Alice and Bob, each with a machine and a clone."""

    coordinator: CoordinatorProcess
    alice: Machine
    bob: Machine
    alices_clone: Path
    bobs_clone: Path

    def sessions(self) -> tuple[CodingSession, CodingSession]:
        a, b = self.alice.session(self.alices_clone), self.bob.session(self.bobs_clone)
        a.start()
        b.start()
        return a, b

    def history(self, *options: str) -> list[dict[str, Any]]:
        """What Bob reads."""
        done = self.bob.scoord("history", "--json", *options, cwd=self.bobs_clone)
        assert 0 == done.returncode, done.stderr
        return list(json.loads(done.stdout)["events"])

    def logs(self) -> list[dict[str, Any]]:
        done = self.bob.scoord("history", "--sessions", "--json", cwd=self.bobs_clone)
        assert 0 == done.returncode, done.stderr
        return list(json.loads(done.stdout)["logs"])


@contextmanager
def team_on(tmp_path: Path, *store: str, port: int | None = None, **env: str) -> Iterator[Team]:
    alices = repository(tmp_path / "alice" / "shop", FILES, ORIGIN)
    bobs = clone(alices, tmp_path / "bob" / "checkout", ORIGIN)
    with coordinator(tmp_path, *store, port=port) as running:
        alice = Machine(tmp_path / "alice" / "home", "alice", running.address, **env)
        bob = Machine(tmp_path / "bob" / "home", "bob", running.address, **env)
        with machines(alice, bob):
            yield Team(running, alice, bob, alices, bobs)


@pytest.fixture
def team(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[Team]:
    with team_on(tmp_path, *etcd_store(etcd, namespace)) as made:
        yield made


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """What happened, oldest first."""
    return [event["kind"] for event in reversed(events)]


@pytest.mark.etcd
def test_one_machine_reads_what_happened_on_another(team: Team) -> None:
    a, b = team.sessions()
    a.prompt("mend the login")
    seconds_until("the intent is told", lambda: "intent" in kinds(team.history()), 10)
    a.edit(team.alices_clone / "src/cart.py")
    a.edit(team.alices_clone / "auth.py")
    assert refusal(b.edit(team.bobs_clone / "auth.py"))
    a.end()

    about_auth = team.history("--file", "auth.py")
    of_alice = team.history("--person", "alice")

    assert ["granted", "waiting", "ended"] == kinds(about_auth)
    granted, ended = about_auth[-1], about_auth[0]
    assert ("alice", ["auth.py"], "mend the login") == (
        granted["person"],
        granted["paths"],
        granted["reason"],
    )
    assert granted["tokens"][0] > 0
    assert ["Session_1"] == [other["alias"] for other in about_auth[1]["others"]]
    assert {"src/cart.py", "auth.py"} == set(ended["paths"])
    assert granted["tokens"][0] in ended["tokens"]
    assert ["registered", "intent", "granted", "granted", "ended"] == kinds(of_alice)
    assert ["granted", "ended"] == kinds(team.history("--file", "src"))
    assert ["ended"] == kinds(team.history("--kind", "ended"))
    assert 1 == len(team.history("--session", "Session_1", "--limit", "1"))
    assert [] == team.history("--person", "carol")


@pytest.mark.etcd
def test_people_read_a_table(team: Team) -> None:
    a, _ = team.sessions()
    a.prompt("mend \x1b[31mthe login")
    a.edit(team.alices_clone / "auth.py")

    shown = team.bob.scoord("history", cwd=team.bobs_clone).stdout

    assert re.search(r"\d+ s ago +Session_1 +alice@\S+ +granted +auth\.py +mend the login", shown)
    assert "\x1b" not in shown


@pytest.mark.etcd
def test_what_comes_is_followed_until_ctrl_c(team: Team) -> None:
    a, _ = team.sessions()
    out = team.bob.home / "followed"
    with out.open("wb") as output:
        following = subprocess.Popen(
            [str(Path(sys.executable).parent / "scoord"), "history", "--follow"],
            env=team.bob.env,
            cwd=team.bobs_clone,
            stdout=output,
        )
    try:
        wait_until("the past is told", lambda: "registered" in out.read_text())
        a.edit(team.alices_clone / "auth.py")
        wait_until("the grant is told", lambda: "granted auth.py" in out.read_text())
        a.end()
        wait_until("the end is told", lambda: "ended" in out.read_text())
        following.send_signal(signal.SIGINT)
        assert 130 == following.wait(timeout=10)
    finally:
        following.kill()
        following.wait()

    lines = (text := out.read_text()).splitlines()
    assert re.search(r"^[\d:]{8} Session_1 \(alice@\S+\) granted auth\.py", text, re.MULTILINE)
    assert len(lines) == len(set(lines))


def test_a_follower_goes_on_when_the_coordinator_comes_back(tmp_path: Path) -> None:
    store, port = ("--embedded", "--data", str(tmp_path / "store")), free_port()
    with team_on(tmp_path, *store, port=port) as team:
        a, _ = team.sessions()
        out = tmp_path / "followed"
        with out.open("wb") as output:
            following = subprocess.Popen(
                [str(Path(sys.executable).parent / "scoord"), "history", "-f", "--json"],
                env=team.bob.env,
                cwd=team.bobs_clone,
                stdout=output,
            )
        try:
            wait_until("the past is told", lambda: 2 == out.read_text().count('"registered"'))
            team.coordinator.end()
            with coordinator(tmp_path, *store, port=port):
                a.edit(team.alices_clone / "auth.py")
                wait_until("the grant is told", lambda: '"granted"' in out.read_text())
        finally:
            following.kill()
            following.wait()

        told = [json.loads(line)["event_id"] for line in out.read_text().splitlines()]
        assert len(told) == len(set(told))


@pytest.mark.etcd
def test_the_work_of_a_session_that_ends_is_kept(team: Team) -> None:
    a, b = team.sessions()
    a.prompt("mend the login")
    a.edit(team.alices_clone / "auth.py")
    a.edited(team.alices_clone / "auth.py")
    b.edit(team.bobs_clone / "auth.py")
    time.sleep(1.2)
    a.end()
    seconds_until("the log is there", team.logs, 10)

    (log,) = team.logs()

    assert ("Session_1", "alice", "ended", "mend the login") == (
        log["alias"],
        log["person"],
        log["how"],
        log["summary"],
    )
    assert (["auth.py"], 1) == (log["files"], log["edits"])
    (hold,) = log["holds"]
    assert ("auth.py", 1) == (hold["path"], hold["grants"])
    assert 1.2 <= hold["held_s"] <= log["lasted_s"] < 30
    assert "auth.py" in team.bob.scoord("history", "--sessions", cwd=team.bobs_clone).stdout


@pytest.mark.etcd
def test_what_a_session_did_right_before_its_end_is_in_its_log(team: Team) -> None:
    a, _ = team.sessions()
    a.prompt("mend the login")
    for name in FILES:
        a.edit(team.alices_clone / name)
        a.edited(team.alices_clone / name)
    a.end()
    seconds_until("the log is there", team.logs, 10)

    (log,) = team.logs()

    assert (sorted(FILES), len(FILES)) == (log["files"], log["edits"])


@pytest.mark.etcd
def test_the_work_of_a_session_whose_machine_dies_is_kept_once(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    store = etcd_store(etcd, namespace)
    with team_on(tmp_path, *store) as team, coordinator(tmp_path, *store):
        a, b = team.sessions()
        a.edit(team.alices_clone / "auth.py")
        assert refusal(b.edit(team.bobs_clone / "auth.py"))
        assert team.alice.agent is not None
        team.alice.agent.kill()
        a.kill()

        seconds_until("it is noted", lambda: "expired" in kinds(team.history()), TTL_S + 15)
        seconds_until("the log is there", team.logs, 5)
        time.sleep(2)  # for the other replica, were it to do it too

        assert 1 == kinds(team.history()).count("expired")
        (log,) = team.logs()
        assert ("Session_1", "expired", ["auth.py"]) == (
            log["alias"],
            log["how"],
            [hold["path"] for hold in log["holds"]],
        )


@pytest.mark.etcd
def test_without_the_setting_no_log_is_kept(tmp_path: Path, etcd: Etcd, namespace: bytes) -> None:
    with team_on(tmp_path, *etcd_store(etcd, namespace), SCOORD_ARCHIVE_COMPLETED="false") as team:
        a, _ = team.sessions()
        a.end()
        seconds_until("it ended", lambda: "ended" in kinds(team.history()), 10)
        time.sleep(1)

        assert [] == team.logs()


@pytest.mark.etcd
def test_what_ended_while_no_coordinator_ran_is_noted_when_one_starts(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    store, port = etcd_store(etcd, namespace), free_port()
    with team_on(tmp_path, *store, port=port) as team:
        a = team.alice.session(team.alices_clone)
        a.start()
        a.edit(team.alices_clone / "auth.py")
        team.coordinator.kill()
        assert team.alice.agent is not None
        team.alice.agent.kill()
        a.kill()
        time.sleep(TTL_S + 3)
        with coordinator(tmp_path, *store, port=port):
            seconds_until("it can be asked", lambda: _status(team) == "connected", 20)
            seconds_until("it is noted", lambda: "expired" in kinds(team.history()), 10)
            assert ["registered", "granted", "expired"] == kinds(team.history())


@pytest.mark.etcd
@pytest.mark.parametrize("kind", ["embedded", "etcd"])
def test_history_lives_as_long_as_its_project_asks(
    tmp_path: Path, etcd: Etcd, namespace: bytes, kind: str
) -> None:
    embedded = ("--embedded", "--data", str(tmp_path / "store"))
    store = embedded if kind == "embedded" else etcd_store(etcd, namespace)
    with coordinator(tmp_path, *store) as running, by_hand(running.address) as hand:
        hand.register("s1")
        # What a project asks is looked up anew every five seconds.
        time.sleep(5.1)
        lease = hand.register("s2")
        begun = time.monotonic()
        hand.end("s2", lease)
        wait_until("the log is there", lambda: 1 == len(hand.logs()))
        assert "ended" in hand.kinds()

        wait_until("its lines are gone", lambda: "ended" not in hand.kinds(), 15)
        assert KEPT_S <= time.monotonic() - begun < KEPT_S + 3
        wait_until("its log is gone", lambda: not hand.logs(), 5)


def test_history_is_over_after_as_many_days_as_the_settings_say(tmp_path: Path) -> None:
    store, port = ("--embedded", "--data", str(tmp_path / "store")), free_port()
    with team_on(tmp_path, *store, port=port, SCOORD_RETENTION_DAYS="2") as team:
        a, _ = team.sessions()
        # What a project asks is looked up anew every five seconds.
        time.sleep(5.1)
        a.end()
        seconds_until("the log is there", team.logs, 10)
        team.coordinator.end()
        with odd_coordinator(tmp_path, *store, port=port, days=1.9):
            seconds_until("it can be asked", lambda: _status(team) == "connected", 20)
            assert "ended" in kinds(team.history())
            assert 1 == len(team.logs())
        with odd_coordinator(tmp_path, *store, port=port, days=2.1):
            seconds_until("it can be asked", lambda: _status(team) == "connected", 20)
            assert "ended" not in kinds(team.history())
            assert [] == team.logs()


@pytest.mark.etcd
def test_refresh_says_what_is_there_and_what_was_stale(team: Team) -> None:
    a, b = team.sessions()
    a.edit(team.alices_clone / "auth.py")
    b.edit(team.bobs_clone / "auth.py")

    done = team.bob.scoord("refresh", cwd=team.bobs_clone)
    told = json.loads(team.bob.scoord("refresh", "--json", cwd=team.bobs_clone).stdout)

    assert 0 == done.returncode, done.stderr
    assert "stale     nothing" in done.stdout
    assert "2 sessions, 1 lock, 1 waiting" in done.stdout
    assert "view      up to date" in done.stdout
    assert (PROJECT, 2, 1, 1) == (told["project"], told["sessions"], told["held"], told["waiting"])
    assert told["view_revision"] >= told["last_change"] > 0


@pytest.mark.etcd
def test_a_refusal_and_a_prompt_are_told_how_long_similar_holds_took(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    for _ in range(3):
        a.edit(team.alices_clone / "auth.py")
        time.sleep(2.5)
        done = team.bob.scoord("unlock", "auth.py", "--force", "--yes", cwd=team.bobs_clone)
        assert 0 == done.returncode, done.stderr
    a.edit(team.alices_clone / "auth.py")
    b.start()
    time.sleep(0.5)

    told = context(b.prompt("Make auth.py faster"))
    reason = refusal(b.edit(team.bobs_clone / "auth.py"))
    (lock,) = json.loads(team.bob.scoord("locks", "--json", cwd=team.bobs_clone).stdout)["locks"]

    said = r"estimated completion: about \d s \(median of 3 holds of this file, \d"
    assert re.search(said, reason)
    assert re.search(r"can wait about \d s \(median of 3 holds of this file, \d", told)
    assert lock["estimate_basis"].startswith("median of 3 holds of this file")


def _status(team: Team) -> str:
    return str(team.bob.status(team.bobs_clone)["coordinator"]["state"])


KEPT_S = 4


@dataclass(frozen=True)
class Hand:
    """A project whose history is kept for seconds, which no setting can say."""

    sessions: SessionServiceStub
    history: HistoryServiceStub

    def register(self, name: str) -> int:
        session = Session(project="short", session_id=name, machine_id="m1", person="alice")
        request = RegisterRequest(
            request_id=f"r-{name}",
            session=session,
            lease_ttl=Duration(seconds=60),
            retention=Duration(seconds=KEPT_S),
            archive=True,
        )
        return self.sessions.Register(request, timeout=5).lease_id

    def end(self, name: str, lease: int) -> None:
        request = EndRequest(request_id="e", project="short", session_id=name, lease_id=lease)
        self.sessions.End(request, timeout=5)

    def kinds(self) -> list[str]:
        page = self.history.ReadHistory(pb.ReadHistoryRequest(project="short"), timeout=5)
        return [event.kind for event in page.events]

    def logs(self) -> list[pb.WorkLog]:
        request = pb.ListArchiveRequest(project="short")
        return list(self.history.ListArchive(request, timeout=5).logs)


@contextmanager
def by_hand(address: str) -> Iterator[Hand]:
    with grpc.insecure_channel(address) as channel:
        yield Hand(SessionServiceStub(channel), HistoryServiceStub(channel))
