"""Where a prompt or an edit touches what another session is changing; each told once."""

from pathlib import Path
from typing import cast

import pytest

from scoord.ids import ProjectId, SessionId
from scoord.paths import FileIdentity, NamedBy, Worktree
from scoord.v1.events_pb2 import LockGone, SessionGone, Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Estimate, Session, SessionStatus
from scoord_agent.activity import top_folder
from scoord_agent.dependents import MOST_TOLD, Dependents
from scoord_agent.estimates import Completion, PastHold, by_similar
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood, Neighbours
from scoord_agent.relations import Relations
from scoord_agent.sessions import Sessions
from scoord_agent.touching import How, Touch, belonging_to, belongings, named_in, words_of
from scoord_agent.work import On
from support.clock import FakeClock

SHOP = ProjectId("example.org/shop")
TREE = Worktree(Path("/shop"), SHOP, shared=True, named_by=NamedBy.ORIGIN)
WORKING = SessionStatus.SESSION_STATUS_WORKING


def _lock(path: str, session: str = "b", token: int = 1, *, pattern: bool = False) -> Lock:
    return Lock(path=path, token=token, holder=Holder(session_id=session), is_pattern=pattern)


def _file(shown: str) -> FileIdentity:
    return FileIdentity(SHOP, shown, shown.casefold(), TREE)


@pytest.mark.parametrize(
    "prompt",
    [
        "fix src/auth.py please",
        "fix `auth.py`: it fails",
        "Change ./src/Auth.py.",
        "why (auth.py:42)?",
    ],
)
def test_a_prompt_that_names_a_file_that_another_holds_touches_it(prompt: str) -> None:
    lock = _lock("src/auth.py")
    found = named_in(prompt, [lock, _lock("src/oauth.py", token=2)], (), "a")

    assert [Touch("b", How.NAMED, "src/auth.py", lock=lock)] == found


@pytest.mark.parametrize("prompt", ["fix oauth.py", "fix the auth", "fix src", "", "." * 50_000])
def test_a_prompt_that_names_something_else_touches_nothing(prompt: str) -> None:
    assert [] == named_in(prompt, [_lock("src/auth.py")], (), "a")


def test_what_a_session_holds_itself_is_no_news() -> None:
    assert [] == named_in("fix auth.py", [_lock("auth.py", "a")], (), "a")


def test_a_prompt_that_names_a_file_below_a_held_pattern_touches_it() -> None:
    lock = _lock("src/api/**", pattern=True)

    touch = Touch("b", How.NAMED, "src/api/**", lock=lock)
    assert [touch] == named_in("see src/api/x.py", [lock], (), "a")
    assert [] == named_in("see src/web/x.py", [lock], (), "a")


def test_a_prompt_that_names_an_area_that_another_works_in_touches_it() -> None:
    works = Session(session_id="b", areas=["Billing"], status=WORKING)
    rests = Session(session_id="c", areas=["billing"], status=SessionStatus.SESSION_STATUS_IDLE)

    assert [Touch("b", How.AREA, "Billing")] == named_in(
        "go on with billing.", (), [works, rests], "a"
    )


@pytest.mark.parametrize(
    ("edited", "held"),
    [
        ("tests/test_auth.py", "src/auth.py"),
        ("src/auth.py", "tests/test_auth.py"),
        ("web/a.ts", "web/a.spec.ts"),
    ],
)
def test_an_edit_of_a_files_test_or_source_touches_the_other(edited: str, held: str) -> None:
    keys, lock = belonging_to(edited), _lock(held)
    touch = Touch("b", How.BELONGS, held, edited, lock)

    assert [touch] == belongings(edited, keys, {held: {1: lock}}, "a")
    assert [] == belongings(edited, keys, {held: {1: _lock(held, "a")}}, "a")


def test_a_huge_prompt_is_read_so_far() -> None:
    assert len(words_of("word " * 1_000_000)) == 1
    assert [] == named_in("x" * 30_000 + " auth.py", [_lock("auth.py")], (), "a")


class _Bench:
    """One session of ours, and what the stream tells of the others."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.hood = Neighbourhood()
        self.session = LocalSession(SessionId("a"), "claude-code", None, "/", home=SHOP)
        self.session.aliases[SHOP] = "Session_1"
        self.imports: dict[str, tuple[str, ...]] = {"web/login.py": ("src/auth.py", "src/free.py")}
        self.meant: tuple[str, ...] = ()
        self.known: tuple[str, ...] = ()
        self.held_s: list[float] = []
        self.changes = 0
        self._revision = 0
        sessions, neighbours = Sessions(directory / "sessions.jsonl"), cast("Neighbours", self)
        sessions.add(self.session)
        self.relations = Relations(neighbours)
        self.dependents = Dependents(
            sessions=sessions,
            neighbours=neighbours,
            relations=self.relations,
            area_of=top_folder,
            imports_of=lambda file: self.imports.get(file.shown, ()),
            belonging_to=lambda file: belonging_to(file.shown, self.known),
            meant_by=lambda _session, _prompt: [_file(shown) for shown in self.meant],
            free_in=self._free_in,
            clock=self.clock,
            changed=self._changed,
        )

    def _free_in(self, _project: ProjectId, lock: Lock) -> Completion | None:
        self.held_s.append(lock.held_for.ToMilliseconds() / 1000)
        return by_similar([PastHold("src/auth.py", 90.0)] * 3, lock.path, self.held_s[-1])

    def _changed(self, session: LocalSession) -> None:
        assert session is self.session
        self.changes += 1

    def depends(self) -> list[tuple[str, str, str]]:
        """On whom, why and for what."""
        return [(on.session_id, on.why, on.path) for on in self.relations.of(self.session, SHOP)]

    def of(self, _project: ProjectId) -> Neighbourhood:
        return self.hood

    def hears(self, **event: object) -> None:
        self._revision += 1
        response = WatchResponse(revision=self._revision, **event)  # type: ignore[arg-type]
        self.hood.apply(response, self.clock.now())
        self.dependents.heard(SHOP, response)

    def told(self) -> list[str]:
        return self.session.take_notices()


@pytest.fixture
def bench(tmp_path: Path) -> _Bench:
    made = _Bench(tmp_path)
    other = Session(session_id="b", alias="Session_2", person="bob", host="mini", areas=["web"])
    other.estimate.CopyFrom(Estimate())
    other.estimate.left.FromSeconds(540)
    made.hears(session=other)
    return made


def test_a_thing_is_told_once_however_often_it_is_named(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    for _ in range(3):
        bench.dependents.prompted(bench.session, "go on with auth.py")
    (told,) = bench.told()

    assert told.startswith("src/auth.py, which the prompt names, is held by Session_2 (bob@mini)")


@pytest.mark.parametrize("how", ["named", "belongs", "imports"])
def test_of_one_who_says_nothing_similar_holds_tell_how_long_it_takes_yet(
    bench: _Bench, how: str
) -> None:
    bench.hears(session=Session(session_id="b", alias="Session_2", person="bob", host="mini"))
    lock = _lock("src/auth.py")
    lock.held_for.FromSeconds(10)
    bench.hears(lock=lock)
    bench.clock.advance(20)
    if how == "named":
        bench.dependents.prompted(bench.session, "go on with auth.py")
    else:
        edited = "tests/test_auth.py" if how == "belongs" else "web/login.py"
        bench.dependents.editing(bench.session, _file(edited))
    (told,) = bench.told()

    assert [30.0] == bench.held_s, "as long as it is now, not as it was heard"
    assert "can wait about 1 min (median of 3 holds of this file, 1 min); what" in told
    assert "not known" not in told


@pytest.mark.parametrize(
    ("meant", "told"),
    [
        ("tests/test_auth.py", "src/auth.py, which belongs to tests/test_auth.py, is held by"),
        ("web/login.py", "src/auth.py, which web/login.py imports, is held by"),
        ("web/page.py", "web, the area of web/page.py, is also worked on by"),
        ("docs/c.md", ""),
    ],
)
def test_a_prompt_is_told_what_an_edit_of_the_files_that_it_names_would_touch(
    bench: _Bench, meant: str, told: str
) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.meant = (meant,)
    bench.dependents.prompted(bench.session, "mend it")
    (heard,) = bench.told() or [""]

    assert heard.startswith(told)
    assert bool(told) is bool(heard)
    bench.dependents.editing(bench.session, _file(meant))
    assert [] == bench.told(), "the edit brings nothing new"


def test_a_prompt_makes_nobody_depend_on_anybody(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.meant = ("web/login.py",)
    bench.dependents.prompted(bench.session, "mend it")

    assert (0, []) == (bench.changes, bench.depends())


def test_one_who_is_touched_twice_is_one(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.meant = ("tests/test_auth.py", "src/test_auth.py")
    bench.dependents.prompted(bench.session, "mend both")
    (told,) = bench.told()

    assert told.startswith("src/auth.py, which belongs to tests/test_auth.py, is held by")
    assert "more" not in told


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("", "src/auth.py, which the prompt names, is held by"),
        ("web/login.py", "src/auth.py, which web/login.py imports, is held by"),
        ("tests/test_auth.py", "src/auth.py, which belongs to tests/test_auth.py, is held by"),
    ],
)
def test_what_was_given_back_and_is_had_anew_is_told_anew(
    bench: _Bench, path: str, begin: str
) -> None:
    def touches() -> list[str]:
        if path:
            bench.dependents.editing(bench.session, _file(path))
        else:
            bench.dependents.prompted(bench.session, "go on with auth.py")
        return bench.told()

    for token in (1, 2):
        bench.hears(lock=_lock("src/auth.py", token=token))
        (told,) = touches()
        assert told.startswith(begin)
        assert [] == touches()
        bench.hears(lock_gone=LockGone(lock=_lock("src/Auth.py", token=token)))
        assert [] == touches()


def test_what_is_had_anew_is_told_anew_also_when_its_end_was_not_heard(bench: _Bench) -> None:
    others = list(bench.hood.sessions.values())
    for token in (1, 2):
        snapshot = Snapshot(sessions=others, locks=[_lock("src/auth.py", token=token)])
        bench.hears(snapshot=snapshot)
        bench.dependents.prompted(bench.session, "go on with auth.py")

        assert 1 == len(bench.told())


def test_two_grants_of_one_session_are_one_hold_also_when_one_of_them_goes(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.hears(lock=_lock("src/auth.py", token=2))
    bench.dependents.prompted(bench.session, "go on with auth.py")
    assert 1 == len(bench.told())

    for going, coming in ((1, 3), (2, 4)):
        bench.hears(lock=_lock("src/auth.py", token=coming))
        bench.dependents.prompted(bench.session, "go on with auth.py")
        bench.hears(lock_gone=LockGone(lock=_lock("src/auth.py", token=going)))
        bench.dependents.prompted(bench.session, "go on with auth.py")
        assert [] == bench.told()


def test_what_goes_in_another_project_is_still_told_of_here(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.dependents.prompted(bench.session, "go on with auth.py")
    assert 1 == len(bench.told())
    gone = WatchResponse(revision=9, lock_gone=LockGone(lock=_lock("src/auth.py")))
    bench.dependents.heard(ProjectId("example.org/other"), gone)
    bench.dependents.prompted(bench.session, "go on with auth.py")

    assert [] == bench.told()


def test_an_edit_of_a_test_is_told_of_its_source_also_when_that_was_free_before(
    bench: _Bench,
) -> None:
    bench.dependents.editing(bench.session, _file("tests/test_auth.py"))
    assert [] == bench.told()
    bench.hears(lock=_lock("src/auth.py"))
    bench.dependents.editing(bench.session, _file("tests/test_auth.py"))

    assert 1 == len(bench.told())


def test_what_is_left_is_told_as_of_now_not_as_it_was_heard(bench: _Bench) -> None:
    bench.clock.advance(120)
    bench.dependents.prompted(bench.session, "look at web")
    (told,) = bench.told()

    assert "about 7 min left" in told
    assert "can wait about 7 min" in told


def test_an_edit_in_anothers_area_is_told_with_the_first_file_only(bench: _Bench) -> None:
    for name in ("web/a.py", "web/a.py", "web/b.py", "docs/c.md"):
        bench.dependents.editing(bench.session, _file(name))

    assert 1 == len(bench.told())


def test_who_has_left_an_area_is_not_told_of(bench: _Bench) -> None:
    assert ["b"] == [session.session_id for session in bench.hood.in_area("Web")]
    bench.hears(session=Session(session_id="b", areas=["docs"]))
    assert [] == bench.hood.in_area("web")
    bench.hears(session_gone=SessionGone(session_id="b"))

    assert {} == bench.hood.by_area
    assert [] == bench.hood.in_area("docs")


def test_where_one_works_of_whom_all_was_told_already_is_no_news(bench: _Bench) -> None:
    bench.hears(lock=_lock("web/auth.py"))
    bench.dependents.prompted(bench.session, "go on with auth.py")
    bench.dependents.editing(bench.session, _file("web/b.py"))

    assert 1 == len(bench.told())


def test_an_edit_of_a_file_that_imports_what_another_holds_tells_that_and_not_the_area(
    bench: _Bench,
) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.dependents.editing(bench.session, _file("web/login.py"))
    (told,) = bench.told()

    assert told.startswith("src/auth.py, which web/login.py imports, is held by Session_2")


def test_one_who_edited_a_file_is_told_when_another_takes_what_it_imports(bench: _Bench) -> None:
    bench.dependents.editing(bench.session, _file("web/login.py"))
    bench.told()
    bench.hears(lock=_lock("docs/c.md"))
    assert [] == bench.told()

    bench.hears(lock=_lock("src/Auth.py", token=2))
    (told,) = bench.told()
    bench.hears(lock=_lock("src/Auth.py", token=3))

    assert told.startswith("src/auth.py, which web/login.py imports, is held by Session_2")
    assert [] == bench.told()


def test_whom_a_session_depends_on_follows_the_locks_that_come_and_go(bench: _Bench) -> None:
    bench.dependents.editing(bench.session, _file("web/login.py"))
    changes = bench.changes
    bench.hears(lock=_lock("docs/c.md"))
    bench.hears(lock=_lock("web/login.py", "a", token=2))
    assert (changes, []) == (bench.changes, bench.depends())

    bench.hears(lock=_lock("src/auth.py", token=3))
    assert (changes + 1, [("b", "imports", "src/auth.py")]) == (bench.changes, bench.depends())

    bench.hears(lock_gone=LockGone(lock=_lock("src/auth.py", token=3)))
    assert (changes + 2, []) == (bench.changes, bench.depends())


def test_what_a_session_waits_for_and_who_is_over_may_change_it_too(bench: _Bench) -> None:
    work = bench.session.work
    work.waits[SHOP, "a.py"] = On(SessionId("c"), "Session_3", "a.py")
    bench.hears(lock=_lock("a.py"))
    assert (1, [("b", "waits", "a.py")]) == (bench.changes, bench.depends())

    work.waits.clear()
    work.depends[SessionId("b")] = On(SessionId("b"), "Session_2")
    bench.hears(session_gone=SessionGone(session_id="b"))
    assert (2, []) == (bench.changes, bench.depends())


def test_a_snapshot_says_nothing_new_of_one_that_depends_on_nobody(bench: _Bench) -> None:
    bench.hears(snapshot=Snapshot(locks=[_lock("src/auth.py")]))

    assert 0 == bench.changes


def test_after_an_outage_all_is_looked_at_again(bench: _Bench) -> None:
    bench.dependents.editing(bench.session, _file("web/login.py"))
    bench.told()
    others = list(bench.hood.sessions.values())
    bench.hears(snapshot=Snapshot(sessions=others, locks=[_lock("src/auth.py")]))

    assert 1 == len(bench.told())
    assert [("b", "imports", "src/auth.py")] == bench.depends()


def test_a_file_that_was_edited_before_its_imports_were_known_is_looked_up_then(
    bench: _Bench,
) -> None:
    imports, bench.imports = bench.imports, {}
    bench.hears(lock=_lock("src/auth.py"))
    bench.dependents.editing(bench.session, _file("web/login.py"))
    bench.told()
    bench.imports, changes = imports, bench.changes
    bench.dependents.learned(Path("/another"))
    assert ([], []) == (bench.told(), bench.depends())

    bench.dependents.learned(TREE.root)
    (told,) = bench.told()
    assert told.startswith("src/auth.py, which web/login.py imports, is held by Session_2")
    assert (changes + 1, [("b", "imports", "src/auth.py")]) == (bench.changes, bench.depends())

    bench.dependents.learned(TREE.root)
    assert (changes + 1, []) == (bench.changes, bench.told())


def test_an_edit_is_looked_at_once_before_or_after_it(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py"))
    bench.dependents.edited(bench.session, _file("web/login.py"))
    assert 1 == len(bench.told())
    assert [("b", "imports", "src/auth.py")] == bench.depends()

    bench.dependents.editing(bench.session, _file("docs/c.md"))
    bench.imports["docs/c.md"] = ("src/auth.py",)
    bench.dependents.edited(bench.session, _file("docs/c.md"))
    assert 1 == len(bench.depends())


def test_of_files_of_a_conversation_that_is_over_nothing_is_told(bench: _Bench) -> None:
    bench.dependents.editing(bench.session, _file("web/login.py"))
    bench.told()
    bench.session.begin_anew()
    bench.hears(lock=_lock("src/auth.py"))

    assert [] == bench.told()
    assert [("b", "imports", "src/auth.py")] == bench.depends()


def test_what_the_stream_had_no_room_for_is_told_at_the_next_edit(bench: _Bench) -> None:
    names = [f"lib/{letter * 2}.py" for letter in "abcde"]
    bench.imports["docs/c.py"] = tuple(names)
    bench.dependents.editing(bench.session, _file("docs/c.py"))
    for token, name in enumerate(names, start=1):
        bench.hears(lock=_lock(name, token=token))
    assert MOST_TOLD == len(bench.told())

    bench.dependents.editing(bench.session, _file("docs/c.py"))
    assert len(names) - MOST_TOLD == len(bench.told())


def test_at_one_hook_only_so_many_things_are_told(bench: _Bench) -> None:
    for token, name in enumerate("abcdefgh", start=1):
        bench.hears(lock=_lock(f"{name}{name}.py", token=token))
    prompt = " ".join(f"{name}{name}.py" for name in "abcdefgh")
    bench.dependents.prompted(bench.session, prompt)
    assert MOST_TOLD == len(bench.told())

    bench.dependents.prompted(bench.session, prompt)
    assert MOST_TOLD == len(bench.told())


def test_one_that_has_ended_meanwhile_is_not_told_of(bench: _Bench) -> None:
    bench.hears(lock=_lock("src/auth.py", "gone"))
    bench.dependents.prompted(bench.session, "fix auth.py")

    assert [] == bench.told()


def test_what_belongs_to_an_edited_file_is_looked_up_again_when_its_repository_is_known(
    bench: _Bench,
) -> None:
    bench.hears(lock=_lock("src/shop/auth.py"))
    bench.dependents.editing(bench.session, _file("tests/test_auth.py"))
    assert [] == bench.told()

    bench.known = ("src/shop/auth.py",)
    bench.dependents.learned(TREE.root)
    bench.dependents.editing(bench.session, _file("tests/test_auth.py"))

    (told,) = bench.told()
    assert told.startswith("src/shop/auth.py, which belongs to tests/test_auth.py, is held by")
