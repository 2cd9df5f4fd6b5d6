"""Edits without a lock are written down until they are reported."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scoord import clock
from scoord.happenings import Kind
from scoord.ids import AgentId, ProjectId, RequestId, SessionId
from scoord_agent import unreported
from scoord_agent.unreported import UnlockedEdit, Unreported, this_boot

EDIT = UnlockedEdit(
    report_id=RequestId("r1"),
    kind=Kind.UNASKED,
    session=SessionId("Session_a"),
    agent=AgentId("agent-1"),
    project=ProjectId("example.com/shop"),
    path="Ünï code\u2028.py",
    branch="main",
    heard_revision=17,
    at_unix_ms=1_700_000_000_000,
)


def again(file: Path) -> list[UnlockedEdit]:
    """What the next agent reads."""
    kept = Unreported(file)
    kept.load()
    return list(kept)


def test_they_outlive_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "unreported.jsonl"
    kept = Unreported(file)
    other = replace(EDIT, report_id=RequestId("r2"), kind=Kind.UNPROTECTED)
    kept.add(EDIT)
    kept.add(other)

    assert [EDIT, other] == again(file)
    kept.remove(EDIT)
    kept.remove(EDIT)
    assert [other] == again(file)


def test_only_their_user_may_read_them(tmp_path: Path) -> None:
    Unreported(tmp_path / "unreported.jsonl").add(EDIT)

    assert 0o600 == (tmp_path / "unreported.jsonl").stat().st_mode & 0o777


@pytest.mark.parametrize("line", [b"", b"not json", b"[]", b"\xff\xfe", b'{"kind": "unasked"}'])
def test_what_cannot_be_read_is_left_out(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "unreported.jsonl"
    file.write_bytes(line + b"\n")

    assert [] == again(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"report_id": ""},
        {"kind": "strange"},
        {"path": 7},
        {"session": None},
        {"heard_revision": -1},
        {"heard_revision": "17"},
        {"at_unix_ms": 2**63},
    ],
)
def test_what_is_not_as_we_write_it_is_left_out(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "unreported.jsonl"
    file.write_text(json.dumps(asdict(EDIT) | wrong) + "\n")

    assert [] == again(file)


def test_a_broken_line_does_not_take_the_others_along(tmp_path: Path) -> None:
    file = tmp_path / "unreported.jsonl"
    Unreported(file).add(EDIT)
    damaged = file.read_bytes().replace(b"shop", b"sh\xffp")
    file.write_bytes(b'{"half a li\n' + damaged + file.read_bytes())

    assert [EDIT] == again(file)


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert [] == again(tmp_path / "unreported.jsonl")


def test_the_oldest_is_forgotten_for_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreported, "MOST_EDITS", 3)
    file = tmp_path / "unreported.jsonl"
    kept = Unreported(file)
    edits = [replace(EDIT, report_id=RequestId(f"r{number}")) for number in range(5)]
    for edit in edits:
        kept.add(edit)

    assert edits[2:] == list(kept)
    assert edits[2:] == again(file)


def test_the_agent_works_without_its_file(tmp_path: Path) -> None:
    kept = Unreported(tmp_path)
    kept.add(EDIT)

    assert [EDIT] == list(kept)


def test_after_a_reboot_the_wall_clock_tells_how_long_ago_an_edit_was(tmp_path: Path) -> None:
    """Also where the machine has run for longer by now than it had then."""
    file, made_at, hours_ms = tmp_path / "unreported.jsonl", 3_600.0, 3_600_000
    now, wall_ms = 2 * 3_600.0, EDIT.at_unix_ms + 14 * hours_ms
    Unreported(file, "first boot").add(replace(EDIT, made_at=made_at))

    for boot, ago_s in (("second boot", 14 * 3_600.0), ("first boot", 3_600.0)):
        kept = Unreported(file, boot)
        kept.load()
        assert [ago_s] == [edit.ago_s(now, wall_ms) for edit in kept]


def test_one_boot_is_known_from_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    assert this_boot() != this_boot(), "none is the same where the system does not tell"

    (tmp_path / "boot_id").write_text("f686\n")
    assert "f686" == this_boot()


def test_in_which_boot_an_edit_was_made_says_nothing_of_what_it_was() -> None:
    assert EDIT.is_like(replace(EDIT, report_id=RequestId("r2"), boot="another"))
