"""The command line as its user has it: real ``scoord`` processes, with a HOME of their own."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.machines import Machine, machines, repository
from support.ports import free_port
from support.processes import wait_until

ASKING = [
    ["status"],
    ["locks"],
    ["lock", "auth.py"],
    ["unlock", "auth.py"],
    ["unlock", "auth.py", "--force", "--yes"],
    ["demo"],
]


def _machine(home: Path, **env: str) -> Machine:
    return Machine(home, "alice", f"127.0.0.1:{free_port()}", **env)


def _end(machine: Machine) -> None:
    machine.end()
    machine.scoord("down", cwd=machine.home)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Machine]:
    """A machine where nothing runs."""
    machine = _machine(tmp_path / "home")
    yield machine
    _end(machine)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine where all runs, for tests that leave no lock behind."""
    machine = _machine(tmp_path_factory.mktemp("running") / "home")
    done = machine.scoord("up", cwd=machine.home)
    assert done.returncode == 0, done.stderr
    yield machine
    _end(machine)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to stand in."""
    files = {"auth.py": "pass\n", "other.py": "pass\n"}
    return repository(tmp_path_factory.mktemp("project") / "app", files)


def _json(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


def _one_line(done: "subprocess.CompletedProcess[str]") -> str:
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


# up and down


def test_up_and_down_can_be_said_twice(fresh: Machine) -> None:
    first = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    second = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    down = _json(fresh.scoord("down", "--json", cwd=fresh.home))
    again = fresh.scoord("down", cwd=fresh.home)

    assert first["agent"]["started"]
    assert first["coordinator"]["started"]
    assert not second["agent"]["started"]
    assert first["agent"]["pid"] == second["agent"]["pid"]
    assert first["coordinator"]["pid"] == second["coordinator"]["pid"]
    pids = {"agent": first["agent"]["pid"], "coordinator": first["coordinator"]["pid"]}
    assert down == {"stopped": pids}
    assert again.stdout.count("was not running") == 2
    assert again.returncode == 0


def test_two_ups_at_once_start_everything_once(fresh: Machine) -> None:
    with ThreadPoolExecutor() as pool:
        ups = list(pool.map(lambda _: fresh.scoord("up", "--json", cwd=fresh.home), range(2)))

    told = [_json(up) for up in ups]
    for part in ("agent", "coordinator"):
        assert len({one[part]["pid"] for one in told}) == 1
        assert sorted(one[part]["started"] for one in told) == [False, True]


def test_a_pid_file_that_names_someone_else_is_stale(fresh: Machine) -> None:
    fresh.state_dir.mkdir(parents=True, mode=0o700)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        for name in ("coordinator.pid", "agent.lock"):
            (fresh.state_dir / name).write_text(f"{bystander.pid}\n", encoding="ascii")
        down = fresh.scoord("down", cwd=fresh.home)
        up = _json(fresh.scoord("up", "--json", cwd=fresh.home))

        assert down.stdout.count("was not running") == 2
        assert up["agent"]["started"]
        assert up["coordinator"]["started"]
        assert bystander.poll() is None
        bystander.kill()


def test_up_mends_what_was_killed(fresh: Machine) -> None:
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    for part in ("agent", "coordinator"):
        os.kill(before[part]["pid"], 9)
    after = _json(fresh.scoord("up", "--json", cwd=fresh.home))

    assert after["coordinator"]["state"] == "connected"
    assert before["agent"]["pid"] != after["agent"]["pid"]
    assert before["coordinator"]["pid"] != after["coordinator"]["pid"]


def test_a_coordinator_that_died_is_started_again_by_the_agent(fresh: Machine) -> None:
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    os.kill(before["coordinator"]["pid"], 9)
    record = fresh.state_dir / "coordinator.pid"
    wait_until(
        "another runs",
        lambda: str(before["coordinator"]["pid"]) != record.read_text("ascii").split()[0],
    )
    after = _json(fresh.scoord("up", "--json", cwd=fresh.home))

    assert not after["coordinator"]["started"]
    assert after["coordinator"]["state"] == "connected"
    assert before["agent"]["pid"] == after["agent"]["pid"]


def test_what_a_server_is_told_by_a_variable_does_not_part_it_from_the_agent(
    tmp_path: Path,
) -> None:
    machine = _machine(tmp_path / "home", SCOORD_LISTEN=f"127.0.0.1:{free_port()}")
    try:
        up = _json(machine.scoord("up", "--json", cwd=machine.home))
    finally:
        _end(machine)

    assert up["coordinator"]["started"]
    assert up["coordinator"]["address"] == machine.env["SCOORD_COORDINATOR_ADDRESSES"]


def test_a_state_directory_that_others_can_read_is_refused(fresh: Machine) -> None:
    fresh.state_dir.mkdir(parents=True, mode=0o755)
    fresh.state_dir.chmod(0o755)
    done = fresh.scoord("up", cwd=fresh.home)

    assert done.returncode == 1
    assert "chmod 700" in _one_line(done)


def test_a_wrong_setting_is_named_before_anything_starts(tmp_path: Path) -> None:
    machine = _machine(tmp_path / "home", SCOORD_LEASES_TTL="2")
    done = machine.scoord("up", cwd=machine.home)

    assert done.returncode == 2
    assert "ttl" in _one_line(done).lower()
    assert not (machine.state_dir / "coordinator.pid").exists()


# asking, when nobody is there


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_an_agent_every_question_ends_with_3(command: list[str], fresh: Machine) -> None:
    done = fresh.scoord(*command, cwd=fresh.home)

    assert done.returncode == 3
    assert _one_line(done) == "error: the agent is not running; start it with `scoord up`"


def test_a_doctor_without_an_agent_says_what_to_do(fresh: Machine) -> None:
    done = fresh.scoord("doctor", "--json", cwd=fresh.home)
    checks = {one["name"]: one for one in json.loads(done.stdout)["checks"]}

    assert done.returncode == 1
    assert checks["agent"]["level"] == "fail"
    assert "scoord up" in checks["agent"]["text"]
    assert checks["coordinator"]["text"] == "not checked; see agent"
    assert checks["python"]["level"] == "ok"


# asking, when all runs


def test_a_lock_is_taken_shown_and_given_back(running: Machine, project: Path) -> None:
    granted = _json(running.scoord("lock", "auth.py", "--reason", "x", "--json", cwd=project))
    shown = _json(running.scoord("locks", "--json", cwd=project))
    released = _json(running.scoord("unlock", "auth.py", "--json", cwd=project))

    assert [grant["path"] for grant in granted["granted"]] == ["auth.py"]
    assert [(row["path"], row["reason"]) for row in shown["locks"]] == [("auth.py", "x")]
    assert shown["locks"][0]["token"] == granted["granted"][0]["token"]
    assert ["auth.py"] == released.pop("released")
    assert {"owed": [], "left": [], "not_held": [], "within": []} == released


def test_a_file_that_is_named_twice_is_locked_once(running: Machine, project: Path) -> None:
    granted = _json(running.scoord("lock", "auth.py", "./auth.py", "--json", cwd=project))
    outside = running.scoord("lock", "/etc/hostname", cwd=project)
    running.scoord("release", "auth.py", "/etc/hostname", cwd=project)

    assert [grant["path"] for grant in granted["granted"]] == ["auth.py"]
    assert "only sessions of this machine see it" in outside.stdout


def test_what_is_locked_again_for_a_time_ends_then(running: Machine, project: Path) -> None:
    names, short_s = ("other.py", "src/**"), 8.0

    def lock(*more: str) -> dict[str, dict[str, Any]]:
        granted = _json(running.scoord("lock", *names, *more, "--json", cwd=project))["granted"]
        return {grant["path"]: grant for grant in granted}

    first, shorter = lock(), lock("--for", f"{short_s:g}s")
    longer, begun = lock("--for", "2h"), time.monotonic()
    said = running.scoord("lock", *names, cwd=project).stdout
    time.sleep(max(0.0, begun + short_s + 2 - time.monotonic()))
    after = lock()
    running.scoord("release", *names, cwd=project)

    for line, name in zip(said.splitlines(), names, strict=True):
        assert re.fullmatch(rf"locked {re.escape(name)}, which ends in (1 h 59|2 h 0) min", line)
    for name in names:
        assert first[name]["ends_in_s"] is None
        assert 0 < shorter[name]["ends_in_s"] <= short_s
        assert 7_000 < after[name]["ends_in_s"] < longer[name]["ends_in_s"] <= 7_200
        assert first[name]["token"] == longer[name]["token"] == after[name]["token"]


def test_what_is_not_held_cannot_be_given_back(running: Machine, project: Path) -> None:
    done = running.scoord("unlock", "other.py", cwd=project)

    assert done.returncode == 1
    assert "other.py is not locked by you" in done.stderr


def test_a_held_file_is_refused_and_can_be_broken(running: Machine, project: Path) -> None:
    session = running.session(project)
    session.start()
    session.prompt("refactor authentication logic")
    session.edit(project / "auth.py")

    held = running.scoord("lock", "other.py", "auth.py", cwd=project)
    seen = running.scoord("locks", cwd=project)
    broken = running.scoord("unlock", "--force", "--yes", "./auth.py", cwd=project)
    nothing = running.scoord("unlock", "--force", "--yes", "auth.py", cwd=project)
    session.end()
    session.kill()

    assert held.returncode == 1
    assert held.stdout == ""
    assert "auth.py is locked by Session_" in held.stderr
    assert '"refactor authentication logic"' in held.stderr
    assert "other.py" not in seen.stdout, "all or none"
    assert broken.returncode == 0
    assert "auth.py is held by Session_" in broken.stderr
    assert nothing.returncode == 1
    assert nothing.stdout == "auth.py is not locked\n"


def test_a_file_of_tasks_that_is_missing_is_told(running: Machine, project: Path) -> None:
    running.scoord("task", "list", cwd=project)  # the agent has read the settings of before
    (project / "coordination.yaml").write_text("tasks: [TODO.md, none.md]\n")
    (project / "TODO.md").write_text("- [ ] round the price\n")

    said = f"tasks: none.md is no file of {project.resolve()}"
    listed = running.scoord("task", "list", cwd=project)
    assert (0, f"problem: {said}\n") == (listed.returncode, listed.stderr)
    assert "round the price" in listed.stdout
    assert f"for {project.resolve()}, but {said}\n" in running.scoord("doctor", cwd=project).stdout


def test_the_demo_collides(running: Machine, tmp_path: Path) -> None:
    told = _json(running.scoord("demo", "--json", cwd=tmp_path))
    outcomes = [(step["session"], step["outcome"]) for step in told["steps"]]
    (refused,) = [step["told"] for step in told["steps"] if step["outcome"] == "refused"]

    assert told["ok"]
    assert outcomes.count(("B", "refused")) == 1
    assert '"refactor authentication logic"' in refused
    assert "auth.py is locked by Session_1" in refused


def test_the_demo_shows_the_refusal_as_the_model_gets_it(running: Machine, tmp_path: Path) -> None:
    done = running.scoord("demo", cwd=tmp_path)

    assert done.returncode == 0
    assert "B edits auth.py too  → refused" in done.stdout
    assert "Suggestion: tests/test_auth.py is free" in done.stdout
    assert re.search(r'"go on"\n +auth.py is free .*\n.* auth.py again  → allowed', done.stdout)


def test_the_demo_plays_a_sessions_events_in_their_order(running: Machine, tmp_path: Path) -> None:
    told = _json(running.scoord("demo", "--json", cwd=tmp_path))
    events = [step["event"] for step in told["steps"] if step["session"] == "A"]

    assert events == [
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "Stop",
        "SessionEnd",
    ]
    assert "Session Coordinator: this session is Session_1" in told["steps"][0]["told"]


def test_a_demo_without_a_coordinator_says_so_before_it_begins(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", "alice", "127.0.0.1:1")
    with machines(machine):
        done = machine.scoord("demo", cwd=tmp_path)

    assert done.returncode == 3
    assert done.stdout == ""
    assert "the coordinator at 127.0.0.1:1 cannot be asked" in _one_line(done)
    assert "enable_file_locks" not in done.stderr


def test_a_demo_that_does_not_collide_has_failed(tmp_path: Path) -> None:
    machine = _machine(tmp_path / "home", SCOORD_CONFLICT_ACTION="warn")
    try:
        machine.scoord("up", cwd=tmp_path)
        done = machine.scoord("demo", "--json", cwd=tmp_path)
    finally:
        _end(machine)

    assert done.returncode == 1
    assert not json.loads(done.stdout)["ok"]
    assert "B edits auth.py too: expected refused, was allowed" in done.stderr
    assert "(conflict_action is warn, so no edit is refused)" in done.stderr


def test_locks_that_differ_are_told_as_people_read_them(tmp_path: Path) -> None:
    machine = _machine(tmp_path / "home", SCOORD_ENABLE_FILE_LOCKS="false")
    try:
        machine.scoord("up", cwd=tmp_path)
        done = machine.scoord("demo", cwd=tmp_path)
    finally:
        _end(machine)

    assert done.returncode == 1
    assert done.stderr == (
        "differs: A edits auth.py: expected these locks then: auth.py by A; were: none"
        " (enable_file_locks is false, so nothing is locked)\n"
    )


def test_a_status_names_sessions_and_locks(running: Machine, project: Path) -> None:
    session = running.session(project)
    session.start()
    session.prompt("write the parser")
    session.edit(project / "other.py")
    shown = running.scoord("status", cwd=project)
    everything = _json(running.scoord("status", "--all", "--json", cwd=running.home))
    session.end()
    session.kill()

    assert "coordinator connected" in shown.stdout
    assert "write the parser" in shown.stdout
    assert "other.py" in shown.stdout
    assert [row["path"] for row in everything["locks"]] == ["other.py"]
    assert everything["agent"]["port"] == running.port


def test_a_doctor_where_all_runs_has_nothing_to_fail(running: Machine, project: Path) -> None:
    done = running.scoord("doctor", "--json", cwd=project)
    told = json.loads(done.stdout)

    assert [one for one in told["checks"] if one["level"] == "fail"] == []
    assert told["ok"]
    assert done.returncode == 0


def test_a_pipe_that_is_closed_early_is_no_error(running: Machine, project: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        command = [str(Path(sys.executable).parent / "scoord"), "status", "--json"]
        done = subprocess.run(
            command,
            cwd=project,
            env=running.env,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.stderr == b""


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["doctor"]], ids=" ".join)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_cannot_be_written_is_one_line(
    command: list[str], running: Machine, project: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "scoord"), *command],
            cwd=project,
            env=running.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert _one_line(done) == (
        "error: the answer cannot be written to the standard output: No space left on device"
    )


@pytest.mark.parametrize("command", [["doctor"], ["lock", "a.py"], ["status"]], ids=" ".join)
def test_a_folder_that_is_gone_is_said_in_one_line(
    command: list[str], running: Machine, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    scoord = Path(sys.executable).parent / "scoord"
    line = f'cd "{gone}" && rmdir "{gone}" && exec "{scoord}" {" ".join(command)}'
    done = subprocess.run(
        ["sh", "-c", line], env=running.env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert _one_line(done) == "error: this directory is gone; change to one that exists"


# settings that are wrong


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A repository whose settings have two faults."""
    text = "session_coordination:\n  conflict_action: blok\n  lock_timout: 1\n"
    return repository(tmp_path / "app", {"auth.py": "", "coordination.yaml": text})


LOCKING = [
    ["lock", "auth.py"],
    ["wait", "auth.py"],
    ["unlock", "auth.py", "--force", "--yes"],
    ["release", "auth.py"],
    ["unlock", "auth.py"],
]


@pytest.mark.parametrize("command", LOCKING, ids=" ".join)
def test_a_command_tells_all_that_is_wrong_with_the_settings(
    command: list[str], running: Machine, broken: Path
) -> None:
    done = running.scoord(*command, "--json", cwd=broken)

    file = broken / "coordination.yaml"
    told = [line for line in done.stderr.splitlines() if line.startswith("problem: ")]
    where = [" ".join(line.split()[:2]) for line in told]
    assert [f"problem: {file}:2:", f"problem: {file}:3:"] == where
    assert json.loads(done.stdout)


@pytest.mark.parametrize("command", [*LOCKING, ["status"], ["locks"]], ids=" ".join)
def test_a_command_tells_what_is_wrong_in_its_own_environment(
    command: list[str], running: Machine, project: Path
) -> None:
    wrong = running.env | {"SCOORD_CONFLICT_ACTION": "blok"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "scoord"), *command, "--json"],
        env=wrong,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [line for line in done.stderr.splitlines() if line.startswith("problem: ")]
    assert len(lines) == 1
    assert lines[0].startswith("problem: SCOORD_CONFLICT_ACTION: session_coordination.conflict")


def test_a_project_without_a_name_to_read_ends_a_command_with_2(
    running: Machine, tmp_path: Path
) -> None:
    root = repository(tmp_path / "app", {"a.py": "", "coordination.yaml": "project: [a]\n"})

    done = running.scoord("lock", "a.py", cwd=root)

    assert done.returncode == 2
    assert "coordination.yaml:1: project: not a name" in _one_line(done)


def test_a_doctor_tells_each_fault_of_the_settings_once(running: Machine, broken: Path) -> None:
    running.scoord("lock", "auth.py", cwd=broken)
    running.scoord("release", "auth.py", cwd=broken)

    done = running.scoord("doctor", cwd=broken)

    file = broken / "coordination.yaml"
    assert done.returncode == 1
    assert [done.stdout.count(f"{file}:{line}:") for line in (2, 3)] == [1, 1]


# what needs nothing


@pytest.mark.parametrize(
    "command",
    ["", "up", "down", "server", "agent", "demo", "hooks", "status", "locks", "lock", "unlock",
     "doctor", "completion"],
)  # fmt: skip
def test_every_command_has_a_help_page(command: str, fresh: Machine) -> None:
    done = fresh.scoord(*command.split(), "--help", cwd=fresh.home)

    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {f'scoord {command}'.strip()}")


@pytest.mark.parametrize(
    "command", [["nonsense"], ["lock"], ["status", "--bogus"], ["completion", "tcsh"]], ids=" ".join
)
def test_a_wrong_command_ends_with_2_and_one_line(command: list[str], fresh: Machine) -> None:
    done = fresh.scoord(*command, cwd=fresh.home)

    assert done.returncode == 2
    assert "--help`" in _one_line(done)


def test_every_file_of_tls_that_cannot_be_read_is_named_before_a_store_is_asked(
    fresh: Machine,
) -> None:
    tls = ("--tls-cert", "no.pem", "--tls-key", "no.key")
    done = fresh.scoord("server", "--etcd", "127.0.0.1:1", "--quiet", *tls, cwd=fresh.home)

    assert done.returncode == 2
    assert "--tls-cert: cannot read no.pem" in done.stderr
    assert "--tls-key: cannot read no.key" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_folder_of_a_completion_script_is_made_first(shell: str, fresh: Machine) -> None:
    lines = fresh.scoord("completion", "--help", cwd=fresh.home).stdout.splitlines()

    (at,) = [n for n, line in enumerate(lines) if f"scoord completion {shell} >" in line]
    folder = lines[at].rpartition(" ")[2].rpartition("/")[0]
    assert lines[at - 1].split() == [shell, "mkdir", "-p", folder]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str, fresh: Machine) -> None:
    done = fresh.scoord("completion", shell, cwd=fresh.home)

    assert done.returncode == 0
    assert "_SCOORD_COMPLETE" in done.stdout


def test_the_tab_key_completes_commands(fresh: Machine) -> None:
    fresh.env |= {
        "_SCOORD_COMPLETE": "bash_complete",
        "COMP_WORDS": "scoord sta",
        "COMP_CWORD": "1",
    }
    done = fresh.scoord(cwd=fresh.home)

    assert done.stdout.split() == ["plain,status"]


def test_ctrl_c_ends_a_waiting_command_quietly(running: Machine, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "scoord"), "demo"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=running.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.send_signal(2)
        _, errors = demo.communicate(timeout=20)

    assert errors.strip() == b""
    assert demo.returncode in {130, 0}, "0: it was faster than the signal"
    wait_until("the demo's sessions are gone", lambda: not _of_demos(running, tmp_path))


def _of_demos(machine: Machine, cwd: Path) -> list[str]:
    # Of all repositories it says what is wrong, too, as others of these tests make it.
    seen = json.loads(machine.scoord("status", "--all", "--json", cwd=cwd).stdout)
    return [one["worktree"] for one in seen["sessions"] if "scoord-demo-" in one["worktree"]]
