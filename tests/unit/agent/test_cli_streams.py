"""Standard streams that are closed, full, unbuffered, or of an encoding that has little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoord_agent.cli import streams

SAYS = """
import sys, click
from scoord_agent.cli import app, streams
streams.prepare()
app.root = click.Command("says", callback=lambda: click.echo(sys.argv[1]))
sys.exit(app.run([]))
"""


def said(text: str, redirected: str = "", **env: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command that says ``text``, and does so last."""
    return subprocess.run(
        ["bash", "-c", f'exec "$0" "$@" {redirected}', sys.executable, "-c", SAYS, text],
        env={**os.environ, **env},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_said(unbuffered: str) -> None:
    done = said("hello", ">/dev/full", PYTHONUNBUFFERED=unbuffered)

    assert 1 == done.returncode
    (line,) = done.stderr.decode().splitlines()
    assert "the answer cannot be written to the standard output: No space left" in line


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_takes_everything(closed: str) -> None:
    done = said("hello", closed)

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_does_not_have_is_written_as_json_has_it(encoding: str) -> None:
    text = json.dumps("caf\u00e9 \u2014 \U0001f600 \u2026", ensure_ascii=False)

    done = said(text, PYTHONIOENCODING=encoding, PYTHONUTF8="0")

    assert (0, b"") == (done.returncode, done.stderr)
    assert json.loads(text) == json.loads(done.stdout.decode(encoding))


@pytest.mark.parametrize("size", ["\u00b2", "0", "", "wide", "9" * 5000])
def test_a_size_that_is_none_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setenv("LINES", "24")

    streams._forget_odd_sizes()

    assert (None, "24") == (os.environ.get("COLUMNS"), os.environ.get("LINES"))
