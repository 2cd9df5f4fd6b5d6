"""Which process a pid file stands for."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoord import clock, local
from scoord.errors import NotAllowed
from scoord_agent import spawn
from scoord_agent.only_one import OnlyOne
from scoord_agent.processes import mark
from scoord_agent.spawn import AGENT, COORDINATOR, Started
from support.processes import wait_until


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not ours, though it runs the same Python."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def lookalike() -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries our agent's name on its command line."""
    code = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, "-m", AGENT.module]) as process:
        # Until the new program is there, it carries ours.
        wait_until(
            "it has its own words", lambda: AGENT.module in psutil.Process(process.pid).cmdline()
        )
        yield process
        process.kill()


def _record(words: object) -> None:
    (local.state_dir() / AGENT.pid_file).write_text(str(words), encoding="utf-8")


def test_a_pid_of_ours_is_believed(lookalike: subprocess.Popen[bytes]) -> None:
    _record(lookalike.pid)

    assert lookalike.pid == spawn.running(AGENT)


def test_a_pid_that_now_belongs_to_another_program_is_not_believed(
    somebody: subprocess.Popen[bytes],
) -> None:
    _record(somebody.pid)

    assert spawn.running(AGENT) is None
    assert spawn.stop(AGENT) is None
    assert somebody.poll() is None


@pytest.mark.parametrize("other", ["1.0@{boot}", "{ticks}@{other_boot}"])
def test_a_pid_that_was_given_to_another_process_of_ours_is_not_believed(
    lookalike: subprocess.Popen[bytes], other: str
) -> None:
    ticks, boot = mark(lookalike.pid).split("@")
    it = other.format(ticks=ticks, boot=boot, other_boot=f"not-{boot}")
    _record(f"{lookalike.pid} {it}")

    assert spawn.running(AGENT) is None
    assert spawn.stop(AGENT) is None
    assert lookalike.poll() is None


def test_an_agent_is_known_by_what_it_writes_down_itself(
    lookalike: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: lookalike.pid)
    with OnlyOne(local.state_dir() / AGENT.pid_file).hold():
        assert mark(lookalike.pid)
        assert [str(lookalike.pid), mark(lookalike.pid)] == spawn._recorded(AGENT)
        assert lookalike.pid == spawn.running(AGENT)


def test_a_process_of_ours_is_known_where_the_system_does_not_tell_which_boot_it_is(
    lookalike: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    _record(f"{lookalike.pid} {mark(lookalike.pid)}")

    assert lookalike.pid == spawn.running(AGENT)


def test_a_wall_clock_that_was_set_changes_nothing(
    lookalike: subprocess.Popen[bytes], own_coordinator: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All start times move with it, and those of files do not."""
    began = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: began(process) + 3600)
    _record(lookalike.pid)

    assert spawn.running(AGENT) == lookalike.pid
    assert spawn.running(COORDINATOR) == own_coordinator.pid
    assert spawn.stop(COORDINATOR) == own_coordinator.pid


@pytest.mark.parametrize("text", ["", "no number", "999999999", "-1", "0"])
def test_a_pid_file_that_makes_no_sense_is_stale(text: str) -> None:
    _record(text)

    assert spawn.running(AGENT) is None


def test_stopping_ends_the_process_and_says_which(lookalike: subprocess.Popen[bytes]) -> None:
    _record(lookalike.pid)

    assert lookalike.pid == spawn.stop(AGENT)
    assert lookalike.wait() != 0


def test_stopping_what_never_ran_is_fine() -> None:
    assert spawn.stop(COORDINATOR) is None


def test_a_program_that_fails_leaves_its_last_words() -> None:
    started = spawn.start_coordinator("nonsense")
    assert started.child is not None
    started.child.wait(timeout=30)

    assert started.has_failed()
    assert "nonsense" in started.last_words()


def test_a_coordinator_of_our_own_is_embedded_whatever_etcd_is_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOORD_ETCD_ENDPOINTS", "10.0.0.1:2379")
    started = spawn.start_coordinator("nonsense")
    assert started.child is not None
    started.child.wait(timeout=30)

    assert "nonsense" in started.last_words()


def test_a_program_that_cannot_be_written_down_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def started(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(popen(*arguments, **options))
        return children[-1]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(local, "atomic_write", full)
    with pytest.raises(NotAllowed, match=r"coordinator\.pid: No space left on device"):
        spawn.start_coordinator("127.0.0.1:1")

    assert [child.returncode for child in children] == [-signal.SIGKILL]
