"""What commands say of what was done, over a real Unix socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scoord_agent.cli.app import run
from support.local_api import ScriptedApi, scripted_api


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    with scripted_api() as server:
        yield server


@pytest.mark.parametrize(("place", "left"), [(2, ", and left the queue"), (0, "")])
def test_who_had_no_place_has_left_no_queue(
    place: int, left: str, api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/wait", {"held": [{"message": "taken", "place": place}]})
    api.will("/v1/leave", {})

    assert run(["wait", "src/", "--timeout", "0"]) == 1
    assert f"gave up after 0 s{left}\n" in capsys.readouterr().err


def test_who_gives_up_hears_which_places_its_session_keeps(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"message": "taken", "project": "shop", "path": path, "place": 2}
        for path in ("Auth.py", "b.py")
    ]
    api.will("/v1/wait", {"held": rows})
    api.will("/v1/leave", {"kept": [["shop", "auth.py"]]})

    assert run(["wait", "Auth.py", "b.py", "--timeout", "0"]) == 1

    told = "gave up after 0 s, and left the queue; the session keeps its place for Auth.py\n"
    assert told in capsys.readouterr().err


def test_none_and_names_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["depends", "--none", "Session_2"]) == 2
    assert "name no session beside it" in capsys.readouterr().err
    assert run(["depends"]) == 2
    assert "or say --none" in capsys.readouterr().err


def test_what_is_suggested_says_how_long_it_is_kept(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"kind": "file", "name": "a.py", "why": ["it is free"]}
    api.will("/v1/suggest", {"suggestions": [one], "kept_s": 120})

    assert run(["suggest"]) == 0
    assert capsys.readouterr().out.endswith("kept for this session for 2 min\n")


def test_what_others_are_in_the_way_of_is_said_in_one_line(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"kind": "task", "name": str(number), "title": "", "why": "Session_1 holds its file"}
        for number in range(5)
    ]
    api.will("/v1/suggest", {"known": True, "suggestions": [], "left_out": rows})

    assert run(["suggest"]) == 0
    assert capsys.readouterr().out.endswith(
        "\nleft out: task 0 (Session_1 holds its file), task 1 (Session_1 holds its file),"
        " task 2 (Session_1 holds its file), and 2 more\n"
    )


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_a_coordinators_address_is_said_once_and_why_it_is_away(
    command: str, api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    error = "the coordinator at far:7780 cannot be reached: connection refused"
    lost = {"state": "lost", "address": "far:7780", "heard_s": None, "error": error}
    api.will("/v1/status", {"coordinator": lost, "locks": [], "sessions": []})

    run([command])
    said = "not heard yet at far:7780: cannot be reached: connection refused"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["intent", "auth", "v2"], "auth v2"),
        (["intent", "auth v2"], "auth v2"),
        (["intent", ""], ""),
        (["progress", "60", "writing", "the", "form"], "writing the form"),
        (["progress", "60"], ""),
        (["tell", "Session_1", "please", "release"], "please release"),
    ],
)
def test_the_rest_of_the_words_is_the_text(command: list[str], text: str, api: ScriptedApi) -> None:
    said = {"alias": "a", "session_id": "s", "text": text, "reads": True}
    api.will(f"/v1/{command[0]}", said | {"intent": text, "percent": 60, "step": text})

    assert run(command) == 0
    asked = api.asked[-1][1]
    assert asked.get("text", asked.get("step")) == text


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("intent", "[OPTIONS] TEXT..."),
        ("progress", "[OPTIONS] PERCENT [STEP]..."),
        ("tell", "[OPTIONS] SESSION TEXT..."),
    ],
)
def test_the_help_says_where_the_text_is(
    command: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    assert f"Usage: scoord {command} {usage}\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["intent"], ["tell", "Session_1"]])
def test_a_text_is_asked_for(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert "Missing argument 'TEXT...'" in capsys.readouterr().err


def test_a_terminal_is_told_by_its_next_command_what_was_not_told_yet(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/news", {"news": ["Your lock on a.py was broken by bob@mbp."]})
    api.will("/v1/news", {})
    api.will("/v1/release", {"released": [], "not_held": ["a.py"]})

    assert run(["release", "a.py"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Your lock on a.py was broken by bob@mbp."
    assert second.startswith("a.py is not locked by ")


def test_a_terminal_is_told_by_its_release_that_there_was_nothing_to_give_back_any_more(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/news", {})
    api.will("/v1/news", {"news": ["Your lock on a.py was lost before it was given back."]})
    api.will("/v1/release", {"released": ["a.py"], "not_held": []})

    assert run(["release", "a.py"]) == 0
    assert capsys.readouterr().err == "Your lock on a.py was lost before it was given back.\n"


def test_an_agent_of_before_has_no_news(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/news", {}, status=404)
    api.will("/v1/release", {"released": ["a.py"], "not_held": []})

    assert run(["release", "a.py"]) == 0
    assert capsys.readouterr().err == ""
