"""The rules of reading history: who wants which line, and what was held how long."""

import time

import pytest

from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord_server.model.recall import Holds, Line, Waits, Wanted

NOW_MS = 1_000_000


def line(
    kind: str, session: str = "s1", *, at_s: float = 0, revision: int = 0, **fields: object
) -> Line:
    holder = Holder(session_id=session, alias=f"Session_{session[1:]}", person="alice", host="mbp")
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
        Wanted(session="session_1"),
        Wanted(person="alice"),
        Wanted(person="Alice@mbp"),
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
        Wanted(person="alice@mini"),
        Wanted(person="mbp"),
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


@pytest.mark.parametrize("name", ["carol", "carol@mini", "Carol"])
def test_who_did_it_to_another_is_found_by_name(name: str) -> None:
    assert Wanted(person=name).lets_through(line("broken", at_s=999, by="carol@mini"), NOW_MS)
    assert not Wanted(person=name).lets_through(line("broken", at_s=999, by="bob@mini"), NOW_MS)


def test_a_pattern_concerns_what_it_matches() -> None:
    reserved = line("reserved", at_s=999, paths=["src/api/**"])

    assert Wanted(path="src/api/users.py").lets_through(reserved, NOW_MS)
    assert not Wanted(path="src/web.py").lets_through(reserved, NOW_MS)


@pytest.mark.parametrize("name", ["docs", "docs/api", "docs/guide.md", "/docs"])
def test_the_lock_of_a_folder_concerns_it_and_all_that_is_in_it(name: str) -> None:
    """It is shown as ``/docs/``; asked for the folder, history left it out."""
    reserved = line("reserved", at_s=999, paths=["/docs/"])

    assert Wanted(path=name).lets_through(reserved, NOW_MS)
    assert not Wanted(path="doc").lets_through(reserved, NOW_MS)


@pytest.mark.parametrize("name", ["app/[id]", "app/[id]/page.tsx", "app"])
def test_the_lock_of_a_folder_with_brackets_in_its_name_concerns_it(name: str) -> None:
    reserved = line("reserved", at_s=999, paths=["app/\\[id]/"])

    assert Wanted(path=name).lets_through(reserved, NOW_MS)
    assert not Wanted(path="app/i").lets_through(reserved, NOW_MS)


@pytest.mark.parametrize("name", ["!", "odd\\"])
def test_a_file_whose_name_is_no_pattern_is_itself_only(name: str) -> None:
    """All questions about files of its project failed while its line was kept."""
    granted = line("granted", at_s=999, paths=[name])

    assert Wanted(path=name).lets_through(granted, NOW_MS)
    assert not Wanted(path="a.py").lets_through(granted, NOW_MS)


@pytest.mark.parametrize("kind", ["granted", "waiting", "released", "ended"])
@pytest.mark.parametrize(
    ("path", "name"),
    [("README.md", "docs/readme.md"), ("pages/[id].tsx", "pages/i.tsx"), ("*", "a.py")],
)
def test_a_file_concerns_no_other_whose_name_its_own_would_match(
    kind: str, path: str, name: str
) -> None:
    of_a_file = line(kind, at_s=999, paths=[path])

    assert Wanted(path=path.lower()).lets_through(of_a_file, NOW_MS)
    assert not Wanted(path=name).lets_through(of_a_file, NOW_MS)


def test_each_path_of_a_line_says_whether_it_is_a_pattern() -> None:
    ended = line("ended", at_s=999, paths=["b.py", "src/**", "c.py"], are_patterns=[False, True])

    assert Wanted(path="src/a.py").lets_through(ended, NOW_MS)
    for name in ("docs/b.py", "docs/c.py"):
        assert not Wanted(path=name).lets_through(ended, NOW_MS)


@pytest.mark.parametrize("kind", ["granted", "reserved"])
def test_no_name_of_many_stars_keeps_history_busy(kind: str) -> None:
    """A file may be called so; a pattern of another version may let through more than we do."""
    many = line(kind, at_s=999, paths=["*a" * 14 + "b"])

    assert not Wanted(path="a" * 40).lets_through(many, NOW_MS)


def test_to_look_for_a_file_reads_no_name_as_a_pattern() -> None:
    """Each was compiled, and history of a file took thirty times as long as any other."""
    lines = [line("granted", paths=[f"src/{number}.py"], at_s=999) for number in range(5_000)]
    begun = time.process_time()

    assert not any(Wanted(path="src/none.py").lets_through(one, NOW_MS) for one in lines)
    assert time.process_time() - begun < 0.2


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


@pytest.mark.parametrize("kind", ["ended", "expired", "idle"])
def test_a_hold_that_the_end_of_its_session_names_ends_once(kind: str) -> None:
    """The line of an idle lock has its token, that of an idle session none."""
    assert [("a", 20.0), ("b", 20.0)] == held(
        line("granted", at_s=10, revision=3, paths=["a", "b"]),
        line(kind, at_s=30, revision=4, paths=["a"], tokens=[] if kind == "idle" else [3]),
        line("ended", at_s=40, revision=5, paths=["a"], tokens=[3]),
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

    waits.take_in(line("refused", at_s=31, paths=["a", "d"]))
    assert (3 + 2, 11_000 + 2_000) == (waits.number, waits.total_ms(32_000)), "from 10 s to 21 s"


def test_who_waits_for_several_files_waits_no_longer_than_the_time_that_it_takes() -> None:
    waits = Waits()
    for each in (
        line("waiting", at_s=10, paths=["a", "b"]),
        line("waiting", at_s=12, paths=["a"]),
        line("left", at_s=13, paths=["never"]),
        line("granted", at_s=20, paths=["a", "b"]),
        line("waiting", at_s=30, paths=["c", "d"]),
        line("left", at_s=32, paths=["c"]),
    ):
        waits.take_in(each)

    assert 10_000 + 10_000 == waits.total_ms(40_000)


def test_a_path_is_refused_once_while_the_same_is_in_the_way() -> None:
    waits, a, b = Waits(), Holder(session_id="A"), Holder(session_id="B")
    for each in (
        line("refused", at_s=1, paths=["a", "b", "c"], others=[a]),
        line("waiting", at_s=2, paths=["a"], others=[a]),
        line("left", at_s=3, paths=["a"]),
        line("waiting", at_s=4, paths=["a", "b"], others=[a]),
    ):
        waits.take_in(each)
    assert waits.number == 3

    waits.take_in(line("waiting", at_s=5, paths=["c"], others=[b]))
    waits.take_in(line("granted", at_s=6, paths=["a"]))
    waits.take_in(line("refused", at_s=9, paths=["a"], others=[a]))
    assert waits.number == 5
