"""The root of the command line: loading, wording of failures, exit codes."""

from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from scoord_agent.cli import app

NAMES = ["fine", "refused", "wrong", "missing", "advised", "broken", "crash", "interrupted"]


@pytest.fixture(autouse=True)
def _own_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = {name: f"support.cli_commands:{name}" for name in NAMES}
    points |= {
        "gone": "support.no_such_module:gone",
        "number": "support.cli_commands:NOT_A_COMMAND",
    }
    found = {name: EntryPoint(name, value, app.COMMANDS) for name, value in points.items()}
    monkeypatch.setitem(vars(app.root), "_found", found)
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("SCOORD_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        ("fine", 0, ""),
        ("refused", 1, ""),
        ("missing", 1, "error: there is no Session_9 (start the session again, or register it)"),
        ("wrong", 2, "error: '\\x00' is no path"),
        ("fine --bogus", 2, "error: No such option '--bogus'; see `scoord fine --help`"),
        ("fnie", 2, "error: No such command 'fnie'; did you mean 'fine'?; see `scoord --help`"),
        ("zzz", 2, "error: No such command 'zzz'; see `scoord --help`"),
        ("advised", 3, "error: nobody listens; start it"),
        ("broken", 70, "error: it failed (see the log of the program that said so)"),
        ("interrupted", 130, ""),
    ],
)
def test_every_end_has_its_exit_code_and_at_most_one_line(
    command: str, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == app.run(command.split())
    assert line == capsys.readouterr().err.strip()


def test_what_nobody_foresaw_is_one_line_and_its_traceback_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["crash"]) == 70

    log = tmp_path / "state" / "cli.log"
    assert (
        f"error: ValueError: two lines (a mistake of ours; the traceback is in {log})\n"
        == capsys.readouterr().err
    )
    assert "in crash" in log.read_text(encoding="utf-8")


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCOORD_DEBUG", "1")

    assert app.run(["crash"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_traceback_that_cannot_be_kept_is_offered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("in the way", encoding="utf-8")

    assert app.run(["crash"]) == 70
    assert "set SCOORD_DEBUG=1 to see where" in capsys.readouterr().err


def test_a_command_that_cannot_be_loaded_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["--help"]) == 0

    page = capsys.readouterr().out
    assert "(cannot be loaded: No module named 'support.no_such_module')" in page
    assert "Print a word." in page


def test_calling_a_command_that_cannot_be_loaded_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["gone"]) == 70
    assert "No module named 'support.no_such_module'" in capsys.readouterr().err


def test_an_entry_point_that_is_no_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["number"]) == 70
    assert "support.cli_commands:NOT_A_COMMAND is not a click command" in capsys.readouterr().err


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert f"scoord {version(app.DISTRIBUTION)}\n" == capsys.readouterr().out
