"""What programs write down: structured, bounded, private, and free of what is nobody's business."""

import json
import logging
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from scoord import logs
from scoord.errors import InvalidPath

SECRET = "hunter2-the-token"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's logging, as it was, when the test is over."""
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    root = logging.getLogger()
    level, before = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
        handler.close()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def started(*, verbose: bool = False) -> Path:
    return logs.start(logs.AGENT, verbose=verbose, secrets=(SECRET, ""))


def test_an_event_is_a_line_with_its_kind_and_its_fields() -> None:
    file = started()
    logging.getLogger("scoord_agent.heart").warning("%s is not live for %d s", "Session_1", 7)
    (line,) = lines(file)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "program": "agent",
        "part": "heart",
        "event": "%s is not live for %d s",
        "fields": ["Session_1", 7],
    }


def test_only_its_user_can_read_a_log() -> None:
    file = started()
    logging.getLogger("scoord").info("one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_field_is_one_short_line() -> None:
    file = started()
    logging.getLogger("scoord").info("%s", "one\n\x1b[31mtwo " + "x" * 5000)
    (field,) = lines(file)[0]["fields"]
    assert field.startswith("one two xxx")
    assert len(field) == 300


def test_what_a_terminal_shows_is_one_line_as_well() -> None:
    forged = "shop\n2026-11-30 ERROR all is lost \x1b[31m"
    record = logging.LogRecord("scoord", logging.INFO, "", 0, "noted in %s", (forged,), None)

    shown = logs.Plain("%(levelname)s: %(message)s").format(record)

    assert "INFO: noted in shop 2026-11-30 ERROR all is lost" == shown


def test_a_secret_is_cut_out_wherever_it_stands() -> None:
    file = started()
    log = logging.getLogger("scoord")
    log.info("in the middle: %s", f"a{SECRET}b")
    log.info(f"in the event: {SECRET}")  # noqa: G004 (that it happens is the test)
    log.info("%s", "x" * 290 + SECRET)
    log.info("%s", "Authorization: Bearer abc.def")
    log.info("%s", InvalidPath(f"no such file: {SECRET}"))
    text = file.read_text()
    assert SECRET not in text
    assert SECRET[:8] not in text
    assert "abc.def" not in text
    assert text.count("[secret]") == 5


def test_what_only_speaks_of_a_secret_is_not_cut() -> None:
    file = started()
    log = logging.getLogger("scoord")
    log.info("broke it under token %d", 7)
    log.info("%s", "check the user, the password and the role")

    assert "[secret]" not in file.read_text()


class _Body(BaseModel):
    pid: int


def test_of_a_failure_only_the_words_that_are_ours_or_the_systems_are_kept() -> None:
    file = started()
    log = logging.getLogger("scoord_agent.listener")
    failing: tuple[Callable[[], object], ...] = (
        lambda: _Body.model_validate_json('{"pid": "the prompt"}'),
        lambda: {"a": 1}["the prompt"],
        lambda: int("the prompt"),
        lambda: Path("/nowhere/file").read_text(encoding="utf-8"),
    )
    for number, fail in enumerate(failing):
        try:
            fail()
        except Exception as error:
            log.exception("failure %d", number)
            log.info("%s", error)
    text = file.read_text()
    assert "the prompt" not in text
    failures, told = lines(file)[::2], lines(file)[1::2]
    words = [line["failure"]["what"] for line in failures]
    assert words == [line["fields"][0] for line in told]
    assert words == [
        "ValidationError",
        "KeyError",
        "ValueError",
        "FileNotFoundError: No such file or directory: /nowhere/file",
    ]
    assert any(place.startswith("test_logs.py:") for place in lines(file)[0]["failure"]["at"])


def test_libraries_are_heard_when_something_is_wrong_and_without_their_words() -> None:
    file = started(verbose=True)
    logging.getLogger("aiohttp.access").info("POST /v1/hooks %s", "the prompt")
    logging.getLogger("aiohttp.server").error("Error handling %s", "the prompt")
    (line,) = lines(file)
    assert (line["part"], line["event"]) == ("aiohttp.server", "Error handling %s")
    assert "fields" not in line


def test_there_is_never_more_than_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    file = started()
    for number in range(300):
        logging.getLogger("scoord").info("event %d of many", number)
    files = sorted(file.parent.iterdir())
    assert [each.name for each in files] == ["agent.jsonl", "agent.jsonl.1", "agent.jsonl.2"]
    assert all(each.stat().st_size <= 2000 for each in files)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files)
    assert lines(file)[-1]["fields"] == [299]


def test_two_processes_may_write_and_put_aside_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 3000)
    file, again = started(), started()
    assert file == again
    for number in range(200):
        logging.getLogger("scoord").info("event %d", number)
    sizes = [each.stat().st_size for each in file.parent.iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 3000 + 200
    assert [line["fields"] for line in lines(file)][-2:] == [[199], [199]]


def test_a_log_whose_directory_was_removed_begins_anew() -> None:
    file, log = started(), logging.getLogger("scoord")
    log.info("one")
    shutil.rmtree(file.parent)
    log.info("two")
    assert [line["event"] for line in lines(file)] == ["two"]
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_log_that_cannot_be_written_loses_lines_and_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = logs.log_file(logs.AGENT)
    file.mkdir(parents=True)
    started()
    logging.getLogger("scoord").error("lost")
    file.rmdir()
    logging.getLogger("scoord").error("kept")
    assert [line["event"] for line in lines(file)] == ["kept"]
    assert capsys.readouterr() == ("", "")
