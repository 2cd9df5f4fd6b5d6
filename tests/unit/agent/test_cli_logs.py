"""``scoord logs``, from files that the programs' own handler wrote."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scoord import logs as writing
from scoord_agent.cli.logs import logs


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def line(second: int, program: str = "agent", level: str = "info", **more: Any) -> str:
    entry = {"time": f"2026-11-24T20:19:{second:02}.000Z", "level": level, "program": program}
    return json.dumps(entry | {"part": "heart", "event": f"event {second}"} | more) + "\n"


def write(program: str, *lines: str, suffix: str = "") -> Path:
    file = writing.log_file(program)
    file.parent.mkdir(exist_ok=True)
    file = file.with_name(file.name + suffix)
    with file.open("a", encoding="utf-8") as log:
        log.writelines(lines)
    return file


def shown(*options: str) -> list[str]:
    result = CliRunner().invoke(logs, options, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_both_programs_are_shown_in_the_order_of_time_and_the_oldest_first() -> None:
    write("agent", line(1), suffix=".2")
    write("agent", line(3), line(5))
    write("server", line(2, "server"), line(4, "server"))
    assert [row.split()[-1] for row in shown()] == ["1", "2", "3", "4", "5"]
    assert [row.split()[-1] for row in shown("--lines", "2")] == ["4", "5"]
    assert [row.split()[-1] for row in shown("--program", "server")] == ["2", "4"]
    (first, *_) = shown()
    assert " info     agent  heart          event 1" in first


def test_lesser_levels_are_left_out() -> None:
    write(
        "agent", line(1, level="debug"), line(2), line(3, level="warning"), line(4, level="error")
    )
    assert [row.split()[-1] for row in shown()] == ["2", "3", "4"]
    assert [row.split()[-1] for row in shown("--level", "warning")] == ["3", "4"]
    assert [row.split()[-1] for row in shown("--level", "debug")] == ["1", "2", "3", "4"]


def test_fields_stand_in_their_places_and_a_failure_behind() -> None:
    failure = {"what": "KeyError", "at": ["a.py:1 outer", "b.py:7 inner"]}
    write(
        "agent",
        line(1, event="%s is gone for %d s", fields=["Session_1", 7]),
        line(2, event="broken %d", fields=["no number"], failure=failure),
    )
    one, two = shown()
    assert one.endswith("Session_1 is gone for 7 s")
    assert two.endswith("broken %d ('no number',): KeyError, at b.py:7 inner")


def test_what_is_no_line_of_ours_is_left_out_and_what_is_hostile_stays_one_line() -> None:
    write("agent", "not JSON\n", "[]\n", '{"time": 1}\n', line(1)[:20] + "\n", line(2, fields=3))
    write("agent", line(3, event="\x1b]0;title\x07 a\nb [red]c[/red]"))
    (row,) = shown()
    assert row.endswith("a b [red]c[/red]")
    assert "\x1b" not in row


def test_json_is_the_lines_themselves() -> None:
    write("agent", line(1), line(2))
    assert shown("--json") == [line(1).strip(), line(2).strip()]


def test_where_nothing_is_written_that_is_said() -> None:
    result = CliRunner().invoke(logs, catch_exceptions=False)
    assert result.stdout == ""
    assert result.stderr == "nothing is written down yet\n"


def test_where_nothing_of_a_level_is_written_that_is_said() -> None:
    write("agent", line(1))
    result = CliRunner().invoke(logs, ["--level", "warning"], catch_exceptions=False)
    assert result.stdout == ""
    assert result.stderr == "nothing of level warning or above is written down yet\n"
    assert CliRunner().invoke(logs, ["-n", "0"], catch_exceptions=False).stderr == ""


def test_following_goes_on_also_when_the_file_was_put_aside() -> None:
    command = [sys.executable, "-m", "scoord_agent.cli", "logs", "--follow", "--json"]
    file = write("agent", line(1))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == line(1)
            write("agent", line(2), line(3)[:30])
            assert process.stdout.readline() == line(2)
            write("agent", line(3)[30:])
            assert process.stdout.readline() == line(3)
            write("agent", line(4))
            file.rename(file.with_name("agent.jsonl.1"))
            write("agent", line(5))
            assert [process.stdout.readline() for _ in range(2)] == [line(4), line(5)]
            time.sleep(0.5)
            assert process.poll() is None
        finally:
            process.kill()
