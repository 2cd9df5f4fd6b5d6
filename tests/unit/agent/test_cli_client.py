"""What the command line does with the agent's answers, over a real Unix socket."""

import json
import os
import socket
from pathlib import Path

import pytest

from scoord import local
from scoord.errors import (
    CoordinatorUnreachable,
    DeadlineExceeded,
    InternalError,
    InvalidPath,
    SessionEnded,
)
from scoord.ids import NO_GRANT
from scoord_agent.cli import local_client
from scoord_agent.cli.app import run
from support.answers import LOCK, STATUS
from support.local_api import ScriptedApi


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


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
    wish = {"paths": ["a.py"], "reason": "why", "shared": True, "lasts_s": 60.0, "lasting": True}
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


TOPIC = LOCK | {"branch": "topic", "scope": "branch"}
OTHER = TOPIC | {"branch": "other", "token": 9}
HERE = TOPIC | {"branch": "main", "token": 9}


@pytest.mark.parametrize(
    ("current", "elsewhere", "said"),
    [
        (None, [OTHER | {"token": 8}, TOPIC | {"token": 9}], "changed hands meanwhile"),
        (None, [], "was given back meanwhile"),
        (None, [OTHER], "was given back meanwhile"),
        (HERE, [], "was given back meanwhile"),
        (HERE | {"scope": "repository"}, [], "changed hands meanwhile"),
    ],
)
def test_of_a_lock_on_another_branch_it_is_told_who_has_it_there_now(
    api: ScriptedApi,
    capsys: pytest.CaptureFixture[str],
    current: object,
    elsewhere: list[object],
    said: str,
) -> None:
    api.will("/v1/break", {"broken": False, "current": None, "elsewhere": [TOPIC]})
    api.will("/v1/break", {"broken": False, "current": current, "elsewhere": elsewhere})

    assert run(["unlock", "auth.py", "--force", "--token", "7"]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert ("--force --token 9" in out) == ("changed hands" in said)


def test_without_a_terminal_nothing_is_broken_unasked(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})

    assert run(["unlock", "auth.py", "--force"]) == 1

    out, err = capsys.readouterr()
    assert (
        'is held by Session_1 (alice@mbp, branch feature/login), for 6 min: "refactor auth' in err
    )
    assert out == (
        "auth.py is left as it is; to break exactly that, say:"
        " scoord unlock auth.py --force --token 7\n"
    )
    assert [asked["token"] for _, asked in api.asked] == [NO_GRANT]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("two  spaces.py", r"$'two\x20 spaces.py' --force --token 7"),
        ("-f", "--force --token 7 -- -f"),
        ("a/" * 150, f"{'a/' * 150} --force --token 7"),
    ],
)
def test_what_is_to_be_typed_names_the_very_path(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], path: str, told: str
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK | {"path": path}})

    assert run(["unlock", "--force", "--", path]) == 1
    assert f"say: scoord unlock {told}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "told"), [("a\u00a0b", r"$'a\xc2\xa0b'"), ("-f", "-- -f"), ("a" * 300, "a" * 300)]
)
def test_what_is_to_be_given_back_is_named_as_it_is(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], path: str, told: str
) -> None:
    api.will("/v1/acquire", {"granted": [{"path": path, "mode": "exclusive"}]})
    within = {"path": "x.py", "pattern": path, "said_here": True}
    api.will("/v1/release", {"released": [], "not_held": ["x.py"], "within": [within]})

    assert run(["lock", "--shared", "x.py"]) == 0
    assert f"`scoord release {told}`" in capsys.readouterr().out
    assert run(["release", "x.py"]) == 1
    assert f"say: scoord release {told}\n" in capsys.readouterr().err


def test_the_grant_that_a_person_saw_is_broken_unasked(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})
    api.will("/v1/break", {"broken": True})

    assert run(["unlock", "auth.py", "--force", "--token", "7"]) == 0

    assert [asked["token"] for _, asked in api.asked] == [NO_GRANT, 7]
    assert "auth.py was taken from its holder" in capsys.readouterr().out


def test_a_grant_that_the_person_did_not_see_stays(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    later = LOCK | {"token": 9, "alias": "Session_5"}
    api.will("/v1/break", {"broken": False, "current": later})

    assert run(["unlock", "auth.py", "--force", "--yes", "--token", "7"]) == 1

    assert [asked["token"] for _, asked in api.asked] == [NO_GRANT], "nothing is sent to break"
    out = capsys.readouterr().out
    assert "auth.py was not broken: its lock has token 9, not 7: Session_5 (alice@" in out
    assert "to break that, say: scoord unlock auth.py --force --token 9" in out


def test_of_several_that_share_only_those_that_are_named_are_broken(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    other = LOCK | {"token": 9, "alias": "Session_5"}
    api.will("/v1/break", {"broken": False, "current": LOCK, "others": [other]})
    api.will("/v1/break", {"broken": True})

    assert run(["unlock", "auth.py", "--force", "--token", "9"]) == 0

    assert [asked["token"] for _, asked in api.asked] == [NO_GRANT, 9]
    assert "Session_1" not in capsys.readouterr().err


def test_a_lock_that_became_ones_own_is_not_given_back_for_the_one_that_was_seen(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK | {"token": 9, "own": True}})

    assert run(["unlock", "auth.py", "--force", "--token", "7"]) == 1
    assert "its lock has token 9, not 7" in capsys.readouterr().out


def test_a_token_without_force_is_refused() -> None:
    assert run(["unlock", "auth.py", "--token", "7"]) == 2


@pytest.mark.parametrize(("command", "shows"), [("status", False), ("locks", True)])
def test_a_list_of_locks_shows_the_token_that_a_break_names(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], command: str, *, shows: bool
) -> None:
    api.will("/v1/status", STATUS | {"locks": [LOCK | {"token": 4711}]})

    assert run([command]) == 0
    assert ("4711" in capsys.readouterr().out) == shows


def test_what_nobody_holds_needs_no_terminal_to_say_so(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": None})

    assert run(["unlock", "auth.py", "--force"]) == 1
    assert "auth.py is not locked\n" == capsys.readouterr().out


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


@pytest.mark.parametrize("command", ["status", "locks"])
def test_a_coordinator_that_cannot_read_its_store_is_said_in_the_first_line(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    api.will("/v1/status", STATUS | {"view_age_s": 46.0, "locks": []})

    assert run([command]) == 3
    first, *rest = capsys.readouterr().out.splitlines()
    assert "; it cannot read its store: this picture is 46 s old" in first
    assert "no locks that this machine has heard of" in rest
    assert run([command, "--json"]) == 3


def test_the_graph_has_json_as_every_other_command(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/graph", {"project": "p", "entities": [], "relations": []})

    assert run(["graph", "--json"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["entities"] == []
    for alike in (["--format", "json"], ["--json", "--format", "json"]):
        assert run(["graph", *alike]) == 0
        assert capsys.readouterr().out == said


@pytest.mark.parametrize("form", ["dot", "table"])
def test_the_graph_is_written_in_one_form(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    for both in (["--json", "--format", form], ["--format", form, "--json"]):
        assert run(["graph", *both]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert f"--json is --format json: leave it out, or --format {form}" in said.err


def test_a_folder_that_is_not_there_is_nobodys_to_allow(
    api: ScriptedApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/graph", {"project": "p", "entities": [], "relations": []})

    assert run(["graph", "--json", "--output", str(tmp_path / "none" / "x.json")]) == 2
    said = capsys.readouterr().err
    assert "its folder is not there" in said
    assert "someone who may" not in said


@pytest.mark.parametrize("said", ["60", "60%"])
def test_progress_takes_a_percent_sign(api: ScriptedApi, said: str) -> None:
    api.will("/v1/progress", {"alias": "a", "session_id": "s", "percent": 60, "step": ""})

    assert run(["progress", said]) == 0
    assert api.asked[-1][1]["percent"] == 60


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["intent", "x"], {"intent": "x"}),
        (["progress", "60"], {"percent": 60, "step": ""}),
        (["depends", "--none"], {"depends_on": []}),
    ],
)
def test_what_is_said_while_nobody_can_be_asked_is_told_later(
    api: ScriptedApi,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    answer: dict[str, object],
) -> None:
    api.will(f"/v1/{command[0]}", {"alias": "a", "session_id": "s", **answer, "owed": True})

    assert run(command) == 3
    said = capsys.readouterr()
    assert said.out.startswith("a")
    assert said.err == "others are told as soon as the coordinator can be asked\n"
    assert run([*command, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["owed"] is True


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


def test_a_script_is_told_the_whole_path_that_was_broken(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{'folder/' * 40}auth.py"
    api.will("/v1/break", {"broken": False, "current": LOCK | {"path": path}})
    api.will("/v1/break", {"broken": True})

    assert run(["unlock", path, "--force", "--yes", "--json"]) == 0
    (broken,) = json.loads(capsys.readouterr().out)["locks"]
    assert path == broken["path"]


def test_who_breaks_a_lock_is_told_that_nothing_could_be_written_down(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/break", {"broken": False, "current": LOCK})
    api.will("/v1/break", {"broken": True, "unrecorded": True})

    assert run(["unlock", "auth.py", "--force", "--yes"]) == 0
    assert "neither history nor the holder is told by whom" in capsys.readouterr().out


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


def test_who_waits_says_at_each_call_what_it_was_refused_last(api: ScriptedApi) -> None:
    row = {"path": "src/a.py", "place": 0, "message": "held"}
    api.will("/v1/wait", {"held": [row | {"project": "shop", "asked": "src/**"}]})
    api.will("/v1/wait", {"held": [row]})  # an agent of an older version
    api.will("/v1/wait", {"granted": [{"path": "src/**", "token": 1}]})

    assert run(["wait", "lib/**", "src/**"]) == 0
    assert [[], [["shop", "src/**"]], []] == [body["refused"] for _, body in api.asked]


def test_a_lock_outside_any_project_says_who_sees_it(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/acquire", {"granted": [{"path": "/etc/hosts", "token": 1, "outside": True}]})

    assert run(["lock", "/etc/hosts"]) == 0
    assert "locked /etc/hosts (in no project: only sessions of this machine see it)" in (
        capsys.readouterr().out
    )


def test_files_of_several_projects_say_which(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {"path": "n.py", "token": 1, "project": "example.org/shop"}
    api.will("/v1/acquire", {"granted": [here, {**here, "project": "example.org/other"}]})

    assert run(["lock", "n.py", "../other/n.py"]) == 0
    assert ["locked n.py (of example.org/shop)", "locked n.py (of example.org/other)"] == (
        capsys.readouterr().out.splitlines()
    )


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"released": ["a.py"]}, 0, "released a.py"),
        ({"owed": ["a.py"]}, 3, "a.py is given back as soon as the coordinator can be asked"),
        ({"owed": ["a.py"], "not_held": ["b.py"]}, 1, "b.py is not locked by you"),
    ],
)
def test_what_is_given_back_or_owed_is_said(
    api: ScriptedApi,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, list[str]],
    code: int,
    said: str,
) -> None:
    api.will("/v1/release", {"released": [], "not_held": []} | answer)

    assert code == run(["release", "a.py"])
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize(("left_s", "said"), [(53.2, ", which ends in 53 s"), (None, "")])
def test_a_lock_says_when_it_ends(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], left_s: float | None, said: str
) -> None:
    api.will("/v1/acquire", {"granted": [{"path": "a.py", "token": 1, "ends_in_s": left_s}]})

    assert run(["lock", "a.py"]) == 0
    assert f"locked a.py{said}\n" == capsys.readouterr().out


@pytest.mark.parametrize(("mode", "said"), [("shared", ", shared"), ("exclusive", "")])
def test_a_share_is_said_to_be_one(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], mode: str, said: str
) -> None:
    api.will("/v1/acquire", {"granted": [{"path": "a.py", "token": 1, "mode": mode}]})

    assert run(["lock", "a.py"]) == 0
    assert f"locked a.py{said}\n" == capsys.readouterr().out


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["locks"]])
def test_a_problem_is_told_on_stderr_and_to_its_end(
    command: list[str], api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "x" * 600 + " (allowed: a, b, c)"
    api.will("/v1/status", STATUS | {"problems": [told]})

    assert run(command) == 0
    said = capsys.readouterr()
    assert f"problem: {told}\n" in said.err
    assert ("--json" in command) == (told in said.out), "scripts have it in the answer, too"
