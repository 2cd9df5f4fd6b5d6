"""What is suggested first, and why."""

from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_work
from scoord_agent.knowledge import areas, cochange, habits, imports
from scoord_agent.knowledge.ranking import Others, Ranked, Work, ranked
from scoord_agent.knowledge.related import Hands, How, related
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.knowledge.works import OpenTask, free_areas, others_of, tasks_first, works

FILES = {
    path: path
    for path in (
        *("auth/login.py", "auth/token.py", "cart/cart.py", "cart/price.py"),
        *("web/page.py", "docs/guide.md"),
    )
}
COMMITS = [
    *[["auth/login.py", "auth/token.py"]] * 4,
    *[["cart/cart.py", "web/page.py"]] * 3,
    *[["docs/guide.md"]] * 2,
]
KNOWN = Knowledge(
    commit="x",
    files=FILES,
    cochange=cochange.learn(COMMITS, FILES),
    imports=imports.turned({"cart/cart.py": ("cart/price.py",)}, FILES),
)
AREAS = areas.found(FILES, KNOWN.cochange, {"docs": "what people read"})


def names(found: list[Ranked], kind: str = "area") -> list[str]:
    return [one.work.name for one in found if one.work.kind == kind]


def all_of(others: Others, intent: str = "", *tasks: OpenTask) -> list[Ranked]:
    return ranked(works(KNOWN, AREAS, tasks, (), intent), others, KNOWN, intent)


def test_where_nobody_is_comes_before_where_somebody_is() -> None:
    found = names(all_of(Others(held={"auth/login.py": "Session_2"})))

    assert "auth" == found[-1]


def test_what_others_have_whole_is_not_suggested() -> None:
    found = all_of(Others(patterns=(("docs/**", "Session_2"),)))

    assert "docs" not in names(found)


def test_what_changes_with_what_others_hold_comes_later() -> None:
    work = [Work("file", name, name, files=frozenset({name})) for name in ("web/page.py", "x.py")]

    found = ranked(work, Others(held={"cart/cart.py": "Session_2"}), KNOWN)

    assert ["x.py", "web/page.py"] == names(found, "file")
    assert 0.69 < found[1].collision.expected < 0.71


def test_what_is_imported_by_what_others_hold_comes_later() -> None:
    work = [Work("file", name, name, files=frozenset({name})) for name in ("cart/price.py", "x.py")]

    found = ranked(work, Others(held={"cart/cart.py": "Session_2"}), KNOWN)

    assert ["x.py", "cart/price.py"] == names(found, "file")


def test_an_area_that_another_says_to_work_in_comes_later() -> None:
    found = all_of(Others(areas={"auth": "Session_2"}))

    assert "auth" == names(found)[-1]
    assert "Session_2" == found[-1].collision.worker


def test_what_is_offered_to_another_is_not_suggested() -> None:
    assert "auth" not in names(all_of(Others(offered=frozenset({("area", "auth")}))))


def test_the_intent_decides_among_what_is_free() -> None:
    assert "docs" == names(all_of(Others(), "write docs: a guide"))[0]
    assert "auth" == names(all_of(Others(), "refresh the login token"))[0]


def test_a_fit_does_not_outweigh_a_certain_collision() -> None:
    taken = Others(held={path: "Session_2" for path in FILES if path.startswith("auth/")})

    assert "auth" not in names(all_of(taken, "refresh the login token"))


def test_a_task_comes_before_an_area_of_the_same_fit() -> None:
    task = OpenTask("1", "refresh the login token", area="Auth")
    found = all_of(Others(), "refresh the login token", task)

    assert ("task", ("auth",)) == (found[0].work.kind, found[0].work.areas)


def test_a_task_that_names_a_file_is_about_that_file() -> None:
    task = OpenTask("1", "tidy up cart/price.py, and cart.py.")
    (work,) = (work for work in works(KNOWN, AREAS, [task], (), "") if work.kind == "task")

    assert {"cart/price.py", "cart/cart.py"} == work.files
    assert ("cart",) == work.areas


def test_files_are_suggested_that_belong_to_what_the_session_holds() -> None:
    found = ranked(works(KNOWN, AREAS, (), ["cart/cart.py"], ""), Others(), KNOWN)

    assert ["web/page.py", "cart/price.py"] == names(found, "file")
    first = next(one for one in found if one.work.kind == "file")
    assert ["it is free", "changes with cart/cart.py"] == (
        wording_work.reasons(first, has_intent=False)
    )


def test_the_same_question_has_the_same_answer() -> None:
    assert all_of(Others()) == all_of(Others())


def test_free_areas_are_those_where_nobody_is() -> None:
    sessions = [
        Session(session_id="a", alias="Session_1", areas=["web"]),
        Session(session_id="b", alias="Session_2", areas=["docs"]),
    ]
    locks = [
        Lock(path="cart/cart.py", holder=Holder(session_id="b", alias="Session_2")),
        Lock(path="auth/login.py", holder=Holder(session_id="a", alias="Session_1")),
    ]

    found = free_areas(KNOWN, AREAS, others_of("a", sessions, locks), "")

    assert {"auth", "web"} == set(names(found)), "its own files and areas do not count"


def test_an_area_with_an_open_task_comes_last_even_when_another_was_offered_the_task() -> None:
    every = works(KNOWN, AREAS, [OpenTask("1", "tidy", "cart")], (), "")
    for offered in (frozenset(), frozenset({("task", "1")})):
        best = ranked(every, Others(offered=offered), KNOWN)
        assert "cart" in names(best)
        assert "cart" == names(tasks_first(best, every))[-1]


def test_reasons_say_what_speaks_for_it_and_against_it() -> None:
    others = Others(held={"cart/cart.py": "Session_2"}, areas={"web": "Session_\x1b[2J3"})
    found = {one.work.name: one for one in all_of(others, "login token")}

    assert ["others hold 1 of its 2 files", "imports link it with files that others hold"] == (
        wording_work.reasons(found["cart"], has_intent=True)
    )
    assert "Session_3 works in its area" in wording_work.reasons(found["web"], has_intent=True)
    assert "fits what you are about to do" in wording_work.reasons(found["auth"], has_intent=True)
    assert "docs (what people read)" == wording_work.area(found["docs"], "what people read")


def test_what_the_holder_will_want_next_is_suggested_last() -> None:
    files = {name: name for name in ("f", "mine", "his", "a", "b")}
    commits = [["f", "his", "a"]] * 3 + [["f", "mine", "b"]] * 3
    known = Knowledge("x", files, cochange=cochange.learn(commits, files))

    found = [one.path for one in related(known, AREAS, "f", Hands(own=["b"], theirs=["a"]))]

    assert found.index("mine") < found.index("his")


def test_a_test_that_never_changes_with_its_source_comes_after_what_does() -> None:
    files = {name: name for name in ("a.py", "tests/test_a.py", "b.py")}
    commits = [["a.py", "b.py"]] * 6 + [["tests/test_a.py"]] * 6
    known = Knowledge(
        "x", files, habits=habits.learn(files), cochange=cochange.learn(commits, files)
    )

    assert [("b.py", How.CHANGES), ("tests/test_a.py", How.NAMING)] == [
        (one.path, one.how) for one in related(known, AREAS, "a.py")
    ]
