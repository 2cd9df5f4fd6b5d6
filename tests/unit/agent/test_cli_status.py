"""What `scoord status` makes of sessions that are at work, over a real Unix socket."""

import re

import pytest

from scoord_agent.cli.app import run
from support.answers import STATUS
from support.local_api import ScriptedApi

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
    assert re.search(r"docs +area +free; quiet\n", shown)


@pytest.mark.parametrize(
    ("known", "told"), [({"known": False}, True), ({"known": True}, False), ({}, False)]
)
def test_that_the_repository_is_still_being_read_is_said(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], known: dict[str, bool], *, told: bool
) -> None:
    api.will("/v1/status", STATUS)
    api.will("/v1/suggestions", {"suggestions": [], **known})

    assert run(["status"]) == 0
    assert ("The repository is still being read" in capsys.readouterr().out) == told


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


def test_each_session_that_one_depends_on_is_named_once(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    whom = {"session_id": "one", "alias": "Session_1"}
    hows = [{}, {"why": "waits", "path": "a.py"}, {"why": "imports", "path": "b.py"}]
    depends = [{**whom, **how} for how in hows] + [{"session_id": "two", "alias": "Session_2"}]
    row = {"alias": "Session_3", "depends_on": depends}
    api.will("/v1/status", STATUS | {"sessions": [row]})

    assert run(["status"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Session_1 (waits for a.py, imports b.py), Session_2" in shown


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


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"status": "working"}, "working not known"),
        ({"status": "working", "progress": {"percent": 45}}, "45 %, time left not known"),
        ({"status": "working", "progress": {"percent": 100}}, "100 %"),
        ({"status": "idle", "progress": {"percent": 45}}, "45 %"),
    ],
)
def test_of_one_at_work_it_is_said_that_its_end_is_not_known(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], row: dict[str, object], said: str
) -> None:
    api.will("/v1/status", STATUS | {"sessions": [{"alias": "Session_1"} | row], "locks": []})

    assert run(["status"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert ("not known" in said) == ("not known" in shown)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({}, "not known"),
        ({"estimate_s": 240.0, "estimate_basis": "60 % done"}, "~4 min (60 % done)"),
        ({"estimate_basis": "2 of 4 steps done"}, "not known (2 of 4 steps done)"),
        ({"estimate_s": 0.0, "estimate_basis": "all is done"}, "any moment (all is done)"),
    ],
)
def test_of_a_lock_it_is_said_when_it_is_done_or_that_this_is_not_known(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], times: dict[str, object], said: str
) -> None:
    lock = {"path": "a.py", "alias": "Session_1", "held_s": 60.0} | times
    api.will("/v1/status", STATUS | {"sessions": [], "locks": [lock]})

    assert run(["locks"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("scope", ["branch", "repository"])
def test_who_waits_on_one_branch_is_listed_with_it(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str], scope: str
) -> None:
    waiter = {"path": "a.py", "place": 1, "alias": "Session_2", "branch": "topic", "scope": scope}
    api.will("/v1/status", STATUS | {"waiters": [waiter]})

    assert run(["status"]) == 0
    assert (scope == "branch") == ("branch topic" in capsys.readouterr().out)


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

    api.will("/v1/news", {"news": ["Your lock on a.py is lost."]})

    assert run(["status", "--watch"]) == 130, "as everything that Ctrl-C ends"
    written = capsys.readouterr()
    assert written.err.startswith("Your lock on a.py is lost.\n")
    first, second = written.out.split("the agent failed")
    assert "no sessions" not in first
    assert "3 of 5 steps" in second
    assert [1.0, 1.0, 1.0] == slept


def test_watching_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--watch", "--json"]) == 2
    assert "without --json" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "locks"])
@pytest.mark.parametrize(("waiters", "told"), [({"waiters": None}, True), ({"waiters": []}, False)])
def test_where_nobody_knows_who_waits_that_is_said(
    api: ScriptedApi,
    capsys: pytest.CaptureFixture[str],
    command: str,
    waiters: dict[str, object],
    *,
    told: bool,
) -> None:
    api.will("/v1/status", STATUS | waiters)

    run([command])
    assert ("\n\nwho waits is not known\n" in capsys.readouterr().out) == told
