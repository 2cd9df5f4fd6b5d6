"""Which coordinator is this machine's own, and that it is started again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from scoord import local
from scoord.sections import Coordinators
from scoord_agent import own, spawn
from scoord_agent.spawn import COORDINATOR, Started
from support.house import until

DEFAULT = Coordinators()
LOOPBACK = Coordinators(addresses=("127.0.0.1:9",))
FAR = Coordinators(addresses=("team.example.org:7780",))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


class Starts:
    """Coordinators that are started and found, without a process."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.runs = False
        self.is_served = False

    def start(self, address: str) -> Started:
        self.addresses.append(address)
        self.runs = True
        return Started(COORDINATOR, 4711, fresh=True)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    starts = Starts()
    monkeypatch.setattr(spawn, "start_coordinator", starts.start)
    monkeypatch.setattr(spawn, "running", lambda _program: 4711 if starts.runs else None)
    monkeypatch.setattr(spawn, "is_listening", lambda _address: starts.runs or starts.is_served)
    monkeypatch.setattr(own, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(own, "START_EVERY_S", 0.1)
    return starts


def record(text: str) -> None:
    (local.state_dir() / COORDINATOR.pid_file).write_text(text)


@asynccontextmanager
async def keeping(named: Coordinators = DEFAULT) -> AsyncIterator[None]:
    task = asyncio.create_task(own.keep(named))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("addresses", "where"),
    [
        (["127.0.0.1:7780"], "127.0.0.1:7780"),
        (["localhost:1", "127.0.0.1:2"], "localhost:1"),
        (["[::1]:7780"], "[::1]:7780"),
        (["team.example.org:7780"], None),
        (["127.0.0.1:7780", "team.example.org:7780"], None),
    ],
)
def test_one_may_be_started_where_the_settings_name_no_other_machine(
    addresses: list[str], where: str | None
) -> None:
    assert where == own.may_be_ours(Coordinators(addresses=tuple(addresses)))


def test_one_that_speaks_tls_is_not_ours_to_start() -> None:
    tunnel = DEFAULT.model_copy(update={"ca": "/etc/scoord/ca.pem"})

    assert own.may_be_ours(tunnel) is None
    assert own.address(tunnel) is None


def test_what_a_server_is_told_is_not_where_the_agent_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOORD_LISTEN", "127.0.0.1:10")

    assert own.may_be_ours(DEFAULT) == DEFAULT.addresses[0]
    assert own.may_be_ours(FAR) is None


def test_ours_is_the_one_of_settings_that_name_none() -> None:
    assert own.address(DEFAULT) == DEFAULT.addresses[0]


@pytest.mark.parametrize("text", ["", "4711\n", "4711 127.0.0.1:10\n"])
def test_another_on_loopback_may_be_a_tunnel_and_is_not_ours(text: str) -> None:
    assert own.address(LOOPBACK) is None
    record(text)
    assert own.address(LOOPBACK) is None


def test_ours_is_what_was_started_until_it_is_stopped() -> None:
    record(f"999999999 {LOOPBACK.addresses[0]}\n")
    assert own.address(LOOPBACK) == LOOPBACK.addresses[0]

    spawn.stop(COORDINATOR)
    assert own.address(LOOPBACK) is None


def test_where_it_is_started_is_recorded() -> None:
    started = spawn.start_coordinator("nonsense")
    assert started.child is not None
    started.child.wait(timeout=30)

    assert spawn.recorded_address() == "nonsense"


async def test_it_is_started_again_when_it_is_gone(starts: Starts) -> None:
    async with keeping():
        await until(lambda: starts.addresses)
        starts.runs = False
        await until(lambda: len(starts.addresses) > 1)
    assert starts.addresses == [*DEFAULT.addresses] * 2


async def test_one_that_always_ends_is_not_started_over_and_over(starts: Starts) -> None:
    begun = time.monotonic()
    async with keeping():
        while len(starts.addresses) < 3:
            starts.runs = False
            await asyncio.sleep(0.01)
    assert time.monotonic() - begun >= 2 * own.START_EVERY_S


def test_a_record_that_was_removed_is_written_again_while_its_process_runs(
    own_coordinator: Started,
) -> None:
    file = local.state_dir() / COORDINATOR.pid_file
    kept = spawn.keep_record("")
    file.unlink()

    assert kept == spawn.keep_record(kept) == file.read_text()
    assert spawn.running(COORDINATOR) == own_coordinator.pid

    assert spawn.stop(COORDINATOR) == own_coordinator.pid
    assert spawn.keep_record(kept) == "", "it was stopped, and is not wanted back"
    assert not file.exists()


async def test_where_another_serves_none_is_started(starts: Starts) -> None:
    starts.is_served = True
    async with keeping():
        await asyncio.sleep(0.05)
    assert starts.addresses == []


async def test_where_the_settings_name_another_none_is_started(starts: Starts) -> None:
    async with keeping(FAR), keeping(LOOPBACK):
        await asyncio.sleep(0.05)
    assert starts.addresses == []


async def test_one_that_cannot_be_started_is_not_tried_over_and_over(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(address: str) -> Started:
        tried.append(address)
        raise OSError("no more processes")

    monkeypatch.setattr(spawn, "start_coordinator", fail)
    begun = time.monotonic()
    async with keeping():
        await until(lambda: len(tried) == 3)
    assert time.monotonic() - begun >= 2 * own.START_EVERY_S


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [("localhost:7780", True), ("[::1]:7780", True), ("127.example.org:7780", False)],
)
def test_ours_may_run_on_loopback_alone(address: str, *, is_ours: bool) -> None:
    named = Coordinators(addresses=(address,))

    assert (address if is_ours else None) == own.may_be_ours(named)
