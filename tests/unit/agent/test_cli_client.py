"""What the command line does with the agent's answers, over a real Unix socket."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoord import local
from scoord.errors import (
    CoordinatorUnreachable,
    DeadlineExceeded,
    InternalError,
    InvalidPath,
    SessionEnded,
)
from scoord_agent.cli import local_client
from scoord_agent.cli.app import run
from scoord_agent.cli.hold import NO_GRANT
from support.local_api import ScriptedApi, scripted_api

LOCK = {
    "project": "github.com/acme/app",
    "path": "auth.py",
    "token": 7,
    "alias": "Session_1",
    "person": "alice",
    "host": "mbp",
    "branch": "feature/login",
    "reason": "refactor\x1b[31m authentication",
    "held_s": 360.0,
}
STATUS: dict[str, Any] = {
    "agent": {"pid": 1, "version": "0.1.0", "port": 7790, "new_in_a_later_version": True},
    "coordinator": {"state": "connected", "address": "127.0.0.1:7780", "heard_s": 0.1},
    "project": {"id": "github.com/acme/app", "shared": True, "named_by": "origin", "root": "/a"},
    "sessions": [{"alias": "Session_1", "person": "alice", "host": "mbp", "intent": "x" * 300}],
    "locks": [LOCK],
    "view_age_s": 0.1,
    "problems": [],
}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        yield server


def test_no_agent_is_said_with_what_to_do() -> None:
    with pytest.raises(CoordinatorUnreachable, match="start it with `scoord up`"):
        local_client.status(everything=False)


def test_a_socket_that_a_killed_agent_left_is_no_agent() -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(local.socket_path()))

    with pytest.raises(CoordinatorUnreachable):
        local_client.status(everything=False)


def test_an_agent_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(local.socket_path()))
        silent.listen()

        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            local_client.status(everything=False, timeout_s=0.05)
        assert not local_client.healthy(timeout_s=0.05)


def test_a_failure_comes_back_as_what_it_was(api: ScriptedApi) -> None:
    api.will("/v1/acquire", {"error": {"code": "SESSION_ENDED", "message": "it is over"}}, 409)

    with pytest.raises(SessionEnded, match="it is over"):
        local_client.acquire(["a.py"], "")


@pytest.mark.parametrize("body", [b"not JSON", b"[]", {"error": {"code": "NEW"}}, {"error": "?"}])
def test_an_answer_that_makes_no_sense_is_a_failure(api: ScriptedApi, body: object) -> None:
    api.will("/v1/acquire", body, 500)

    with pytest.raises(InternalError):
        local_client.acquire(["a.py"], "")


def test_a_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(InvalidPath, match="this directory is gone"):
        local_client.status(everything=False)


def test_the_agent_is_told_where_the_command_stands(api: ScriptedApi, tmp_path: Path) -> None:
    api.will("/v1/acquire", {"granted": []})

    local_client.acquire(["a.py"], "why", shared=True, lasts_s=60.0)

    here = {"cwd": str(Path.cwd()), "pid": os.getpid()}
    wish = {"paths": ["a.py"], "reason": "why", "shared": True, "lasts_s": 60.0}
    assert [("/v1/acquire", here | wish)] == api.asked


def test_a_refused_lock_is_shown_as_the_agent_words_it(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/acquire", {"held": [{"path": "auth.py", "message": "auth.py is locked by B"}]})

    assert run(["lock", "auth.py"]) == 1
    assert capsys.readouterr() == ("", "auth.py is locked by B\n")


def test_a_break_names_exactly_the_grant_that_was_shown(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})
    api.will("/v1/break", {"broken": True})

    assert run(["unlock", "auth.py", "--force", "--yes", "--reason", "gone home"]) == 0

    assert [asked["token"] for _, asked in api.asked] == [NO_GRANT, 7]
    assert api.asked[1][1]["reason"] == "gone home"
    shown = capsys.readouterr().err
    assert 'Session_1 (alice@mbp, branch feature/login), for 6 min: "refactor auth' in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (LOCK | {"token": 9, "alias": "Session_5"}, "changed hands meanwhile and was not broken"),
        (None, "was given back meanwhile"),
    ],
)
def test_a_lock_that_changed_meanwhile_is_left_alone(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], current: object, said: str
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})
    api.will("/v1/break", {"broken": False, "current": current})

    assert run(["unlock", "auth.py", "--force", "--yes"]) == 1
    assert said in capsys.readouterr().out


def test_without_a_terminal_nothing_is_broken_unasked(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["unlock", "auth.py", "--force"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert api.asked == []


@pytest.mark.parametrize("command", ["status", "locks"])
def test_a_table_fits_into_80_columns_and_shows_others_words_as_text(
    api: ScriptedApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    api.will("/v1/status", STATUS)

    assert run([command]) == 0

    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "auth.py" in shown
    assert "\x1b" not in shown


def test_no_part_of_a_path_begins_a_line_in_a_pipe(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    path = f"{'a' * 150} auth.py is free now"
    api.will("/v1/status", STATUS | {"locks": [{**STATUS["locks"][0], "path": path}]})

    assert run(["locks"]) == 0
    assert 3 == len(capsys.readouterr().out.splitlines())


def test_what_was_last_heard_is_never_shown_as_if_it_were_known(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {"state": "suspended", "address": "far:7780", "heard_s": 65, "error": "no answer"}
    api.will("/v1/status", STATUS | {"coordinator": lost})

    assert run(["locks"]) == 3
    shown = capsys.readouterr().out
    assert "coordinator suspended at far:7780, last heard 1 min ago: no answer" in shown


def test_an_old_view_says_its_age(api: ScriptedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.will("/v1/status", STATUS | {"view_age_s": 3.4})

    assert run(["status"]) == 0
    assert "this picture is 3 s old" in capsys.readouterr().out


def test_json_is_what_the_agent_said(api: ScriptedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.will("/v1/status", STATUS)

    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS | {"suggestions": []}


@pytest.mark.parametrize(
    ("status", "idle_s", "said"),
    [
        ("unspecified", 3, "active 3 s ago"),
        ("working", 0, "working"),
        ("waiting", 700, "waiting, seen 11 min ago"),
        ("idle", 60, "idle 1"),
    ],
)
def test_a_state_says_what_its_seconds_mean(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], status: str, idle_s: int, said: str
) -> None:
    session = {"alias": "Session_1", "status": status, "idle_s": idle_s}
    api.will("/v1/status", STATUS | {"sessions": [session]})

    assert run(["status"]) == 0
    assert said in capsys.readouterr().out


def test_a_terminal_is_shown_as_one(api: ScriptedApi, capsys: pytest.CaptureFixture[str]) -> None:
    session = {"alias": "Session_1", "client": "terminal", "status": "terminal", "idle_s": 3}
    api.will("/v1/status", STATUS | {"sessions": [session]})

    assert run(["status"]) == 0
    assert "terminal, used 3 s ago" in capsys.readouterr().out


def test_a_broken_locks_holder_is_told_to_scripts_too(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})
    api.will("/v1/break", {"broken": True})

    assert run(["unlock", "auth.py", "--force", "--yes", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["locks"]
    assert told["holder"]["person"] == "alice"
    assert told["holder"]["alias"] == "Session_1"


@pytest.mark.parametrize("timeout", ["abc", "-1", "nan", "1e9", "9999h"])
def test_a_timeout_that_is_none_is_said_with_what_is(
    timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["wait", "auth.py", f"--timeout={timeout}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{timeout!r} is not" in line
    assert "float" not in line


@pytest.mark.parametrize("timeout", ["0", "0.5s", "0.5", "1s"])
def test_a_timeout_may_have_a_unit(
    api: ScriptedApi, timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/wait", {"granted": [{"path": "auth.py", "token": 1}]})

    wrong = timeout == "0.5s"
    assert run(["wait", "auth.py", "--timeout", timeout]) == (2 if wrong else 0)
    assert ("want for example 90s" in capsys.readouterr().err) == wrong


def test_a_lock_outside_any_project_says_who_sees_it(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/acquire", {"granted": [{"path": "/etc/hosts", "token": 1, "outside": True}]})

    assert run(["lock", "/etc/hosts"]) == 0
    assert "locked /etc/hosts (in no project: only sessions of this machine see it)" in (
        capsys.readouterr().out
    )


def test_a_problem_is_shown_to_its_end(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/status", STATUS | {"problems": ["x" * 600 + " (allowed: a, b, c)"]})

    assert run(["status"]) == 0
    assert "(allowed: a, b, c)" in capsys.readouterr().out.replace("\n", " ")


BUSY = {
    "alias": "Session_1",
    "person": "alice",
    "host": "mbp",
    "branch": "feature/login",
    "status": "working",
    "intent": "refactor \x1b[31mauthentication",
    "progress": {"done": 3, "total": 5, "percent": 60, "step": "write\ntests", "source": "tasks"},
    "estimate": {"left_s": 545.0, "low_s": 300.0, "high_s": 900.0, "samples": 3},
    "areas": ["web", "docs"],
    "depends_on": [{"alias": "Session_2", "why": "waits", "path": "a.py"}, {"alias": "Session_3"}],
    "edits": 4,
    "commits": 1,
}


def test_what_is_free_to_do_is_shown_where_the_agent_tells_it(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"kind": "task", "name": "7", "title": "round\nprices", "why": ["nobody holds its file"]},
        {"kind": "area", "name": "docs", "title": "docs", "why": ["free", "\x1b[31mquiet"]},
    ]
    api.will("/v1/status", STATUS)
    api.will("/v1/suggestions", {"suggestions": rows})

    assert run(["status"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"7: round prices +task +nobody holds its file\n", shown)
    assert re.search(r"docs +area +free; quiet +\n", shown)


def test_a_session_is_shown_with_how_far_it_is_and_on_whom_it_depends(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/status", STATUS | {"sessions": [BUSY, {"alias": "Session_2"}]})

    assert run(["status"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "working ━━━━━━╌╌╌╌ about 9 min left (3 of 5 steps)" in shown
    assert "refactor authentication; now: write tests" in shown
    assert "4 files, 1 commit web, docs Session_2 (waits for a.py), Session_3" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        ({"percent": 45}, "━━━━╌╌╌╌╌╌ 45 %"),
        ({"percent": 900}, "━━━━━━━━━━ 900 %"),
        ({"percent": -3, "done": 0, "total": 2}, "╌╌╌╌╌╌╌╌╌╌ 0 of 2 steps"),
    ],
)
def test_progress_without_an_estimate_says_no_time(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], progress: object, said: str
) -> None:
    api.will("/v1/status", STATUS | {"sessions": [{"alias": "Session_1", "progress": progress}]})

    assert run(["status"]) == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert "left" not in shown


def test_a_full_table_fits_into_80_columns_too(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    api.will("/v1/status", STATUS | {"sessions": [BUSY]})

    assert run(["status"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_watched_status_is_shown_anew_until_ctrl_c_and_says_when_the_agent_is_away(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("scoord_agent.cli.watching.time.sleep", sleep)
    api.will("/v1/status", STATUS)
    api.will("/v1/status", {"error": {"code": "INTERNAL", "message": "the agent failed"}}, 500)
    api.will("/v1/status", STATUS | {"sessions": [BUSY]})

    assert run(["status", "--watch"]) == 0
    first, second = capsys.readouterr().out.split("the agent failed")
    assert "no sessions" not in first
    assert "3 of 5 steps" in second
    assert [1.0, 1.0, 1.0] == slept


def test_watching_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--watch", "--json"]) == 2
    assert "without --json" in capsys.readouterr().err
