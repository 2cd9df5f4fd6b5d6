"""Slash commands: what was typed becomes arguments, whatever was typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scoord.errors import InvalidRequest
from scoord_hooks import slash_command
from scoord_hooks.command import hooks
from scoord_hooks.slash import MOST, arguments_of, framed, typed

FORCED = ["--typed", "/sc:session-unlock", "--reason", "/sc:session-unlock"]


def run(name: str, words: str) -> list[str]:
    return arguments_of(
        typed({"command_name": f"sc:{name}", "command_args": words, "cwd": "/repo"})
    )


@pytest.mark.parametrize(
    ("name", "words", "arguments"),
    [
        ("session-status", "", ["status"]),
        ("session-status", "--all", ["status", "--all"]),
        ("session-refresh", "", ["refresh"]),
        ("session-unlock", "", ["locks"]),
        ("session-unlock", "a.py", ["unlock", "--", "a.py"]),
        ("session-unlock", "'my file.py' b.py", ["unlock", "--", "my file.py", "b.py"]),
        ("session-unlock", "it's.py", ["unlock", "--", "it's.py"]),
        ("session-unlock", "--force a.py", ["unlock", *FORCED, "--force", "--", "a.py"]),
        (
            "session-unlock",
            "a.py --force --token 7 --token=9",
            ["unlock", *FORCED, "--force", "--token=7", "--token=9", "--", "a.py"],
        ),
        (
            "session-unlock",
            "--force --token 7 -- -f --yes",
            ["unlock", *FORCED, "--force", "--token=7", "--", "-f", "--yes"],
        ),
        (
            "session-unlock",
            r"$'two\x20 spaces\xc2\xa0.py' --force",
            ["unlock", *FORCED, "--force", "--", "two  spaces\u00a0.py"],
        ),
        ("session-history", "", ["history"]),
        (
            "session-history",
            "--since 2h --file 'a b'",
            ["history", "--since", "2h", "--file", "a b"],
        ),
    ],
)
def test_a_slash_command_is_a_command(name: str, words: str, arguments: list[str]) -> None:
    assert run(name, words) == arguments


@pytest.mark.parametrize(
    "words",
    [
        "a.py; rm -rf .",
        "`rm a`",
        "$(rm a)",
        "a.py && rm a",
        "a.py\nrm a",
        "a.py | sh",
        "'; rm a; '",
        '"$(rm a)"',
        "${HOME}",
        "!`rm a`",
        "a > b",
    ],
)
def test_what_a_shell_would_run_is_an_odd_file_name_or_refused(words: str) -> None:
    try:
        arguments = run("session-unlock", words)
    except InvalidRequest:
        return
    assert arguments[:2] == ["unlock", "--"]
    assert "--force" not in arguments


@given(st.text())
def test_nothing_that_is_typed_becomes_an_option_of_unlock_but_force(words: str) -> None:
    try:
        arguments = run("session-unlock", words)
    except InvalidRequest:
        return
    options = arguments[1 : arguments.index("--")] if "--" in arguments else arguments[1:]
    assert options in ([], [*FORCED, "--force"])


@pytest.mark.parametrize(
    ("name", "words", "why"),
    [
        ("session-unlock", "--yes a.py", "'--yes' is not known here"),
        ("session-unlock", "a.py --token 7", "--token goes with --force"),
        ("session-unlock", "a.py --force --token", "'' is no token"),
        ("session-unlock", "a.py --force --token --yes", "'--yes' is no token"),
        ("session-history", "--follow", "--follow goes on for ever"),
        ("session-status", "--watch=1", "--watch=1 goes on for ever"),
        ("session-destroy", "", "no command is called 'session-destroy'"),
        ("session-unlock", "a\0b", "NUL"),
        ("session-unlock", r"$'a\x00b'", "NUL"),
    ],
)
def test_what_cannot_be_done_is_one_line(name: str, words: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why.replace("(", r"\(")):
        run(name, words)


def test_an_answer_is_framed_and_bounded() -> None:
    command = typed({"command_name": "sc:session-status", "command_args": "", "cwd": "/"})
    assert framed(command, "one\ntwo\n") == (
        "scoord: the answer to /sc:session-status\none\ntwo\nscoord: end of /sc:session-status"
    )
    long = framed(command, "a line of history\n" * 5000)
    assert len(long) <= MOST
    assert "more lines; see them in a terminal" in long.splitlines()[-2]


def answer(event: object) -> str:
    result = CliRunner().invoke(hooks, ["slash"], input=json.dumps(event), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_is_run_where_the_session_is_and_without_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\npwd\nprintf "<%s>\\n" "$@"\necho oops >&2\nexit 3\n')
    python.chmod(0o755)
    monkeypatch.setattr("scoord_hooks.slash_command.sys.executable", str(python))
    words = {"command_name": "sc:session-unlock", "command_args": "`touch a` $(touch b)"}
    assert answer({**words, "cwd": str(tmp_path)}).splitlines() == [
        "scoord: the answer to /sc:session-unlock",
        str(tmp_path),
        *("<-P>", "<-m>", "<scoord_agent.cli>", "<unlock>", "<-->"),
        *("<`touch>", "<a`>", "<$(touch>", "<b)>"),
        "oops",
        "scoord: end of /sc:session-unlock",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["python"]


def test_a_command_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho begun\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr("scoord_hooks.slash_command.sys.executable", str(python))
    monkeypatch.setattr(slash_command, "_SECONDS", 0.5)
    said = answer({"command_name": "sc:session-status", "command_args": "", "cwd": "/gone"})
    assert "begun" in said
    assert "error: not done within 0.5 s" in said


@pytest.mark.parametrize("event", [[], {}, {"command_name": 1}])
def test_what_is_no_event_is_refused(event: object) -> None:
    result = CliRunner().invoke(hooks, ["slash"], input=json.dumps(event))
    assert isinstance(result.exception, InvalidRequest)
