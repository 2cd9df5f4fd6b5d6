"""The rules of reading history: who wants which line, and what was held how long."""

import pytest

from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord_server.model.recall import Holds, Line, Waits, Wanted

NOW_MS = 1_000_000


def line(
    kind: str, session: str = "s1", *, at_s: float = 0, revision: int = 0, **fields: object
) -> Line:
    holder = Holder(session_id=session, alias=f"Session_{session[1:]}", person="alice")
    record = EventRecord(kind=kind, session=holder, at_unix_ms=round(at_s * 1000))
    record.MergeFrom(EventRecord(**fields))  # type: ignore[arg-type]  # a message's own fields
    return Line(f"{round(at_s * 1000):015d}-{revision}", revision, record)


GRANT = line("granted", at_s=900, paths=["src/API/users.py", "README.md"], kept_ms=200_000)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(session="s1"),
        Wanted(session="Session_1"),
        Wanted(person="alice"),
        Wanted(path="readme.md"),
        Wanted(path="src/api"),
        Wanted(path="src/api/users.py"),
        Wanted(kinds=frozenset({"granted", "released"})),
        Wanted(since_ms=100_000),
    ],
)
def test_a_line_is_let_through_by_all_that_it_is_about(wanted: Wanted) -> None:
    assert wanted.lets_through(GRANT, NOW_MS)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(session="s2"),
        Wanted(person="bob"),
        Wanted(path="src/ap"),
        Wanted(path="users.py"),
        Wanted(kinds=frozenset({"released"})),
        Wanted(since_ms=99_999),
        Wanted(session="s1", person="bob"),
    ],
)
def test_a_line_about_anything_else_is_not(wanted: Wanted) -> None:
    assert not wanted.lets_through(GRANT, NOW_MS)


def test_a_line_concerns_the_others_that_it_names() -> None:
    waits = line("waiting", "s2", at_s=999, others=[Holder(session_id="s1")])

    assert Wanted(session="s1").lets_through(waits, NOW_MS)


def test_who_did_it_to_another_is_found_by_name() -> None:
    assert Wanted(person="carol").lets_through(line("broken", at_s=999, by="carol"), NOW_MS)


def test_a_pattern_concerns_what_it_matches() -> None:
    reserved = line("reserved", at_s=999, paths=["src/api/**"])

    assert Wanted(path="src/api/users.py").lets_through(reserved, NOW_MS)
    assert not Wanted(path="src/web.py").lets_through(reserved, NOW_MS)


def test_what_is_older_than_it_is_kept_is_not_shown() -> None:
    assert Wanted().lets_through(GRANT, 1_100_000)
    assert not Wanted().lets_through(GRANT, 1_100_001)


def test_a_grants_token_is_the_revision_of_its_line() -> None:
    assert (7, 7) == line("granted", revision=7, paths=["a", "b"]).tokens
    assert (3,) == line("released", revision=9, paths=["a"], tokens=[3]).tokens


def held(*lines: Line) -> list[tuple[str, float]]:
    holds = Holds()
    for each in lines:
        holds.take_in(each)
    return [(hold.path, hold.held_ms / 1000) for hold in holds.over]


def test_a_grant_and_the_end_of_its_token_make_a_hold() -> None:
    assert [("a", 5.0)] == held(
        line("granted", at_s=10, revision=3, paths=["a", "b"]),
        line("released", at_s=15, revision=4, paths=["A"], tokens=[3]),
    )


def test_the_end_of_another_token_ends_nothing() -> None:
    assert [] == held(
        line("granted", at_s=10, revision=3, paths=["a"]),
        line("released", at_s=15, revision=4, paths=["a"], tokens=[2]),
    )


def test_the_end_of_a_session_ends_all_it_holds() -> None:
    assert [("a", 20.0)] == held(
        line("granted", "s1", at_s=10, revision=3, paths=["a"]),
        line("granted", "s2", at_s=10, revision=4, paths=["b"]),
        line("ended", "s1", at_s=30),
    )


@pytest.mark.parametrize("token", [3, 5])
def test_a_lock_that_is_granted_again_to_its_session_is_one_hold(token: int) -> None:
    """A subagent takes it over under its token; a share becomes exclusive under a new one."""
    assert [("a", 20.0)] == held(
        line("granted", at_s=10, revision=3, paths=["a"]),
        line("granted", at_s=20, revision=5, paths=["a"]),
        line("released", at_s=30, revision=6, paths=["a"], tokens=[token]),
    )


def test_an_idle_lock_is_not_the_end_of_its_session() -> None:
    assert [("a", 10.0), ("b", 20.0)] == held(
        line("granted", at_s=10, revision=3, paths=["a", "b"]),
        line("idle", at_s=20, revision=4, paths=["a"], tokens=[3]),
        line("idle", at_s=30, revision=5),
    )


def test_a_wait_lasts_until_the_grant_or_until_it_is_given_up() -> None:
    waits = Waits()
    for each in (
        line("waiting", at_s=10, paths=["a"]),
        line("waiting", at_s=11, paths=["b"]),
        line("granted", at_s=15, paths=["a"]),
        line("left", at_s=21, paths=["b"]),
        line("waiting", at_s=30, paths=["c"]),
    ):
        waits.take_in(each)

    assert (3, 5_000 + 10_000 + 2_000) == (waits.number, waits.total_ms(32_000))
