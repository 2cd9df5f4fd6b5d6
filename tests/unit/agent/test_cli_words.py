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
