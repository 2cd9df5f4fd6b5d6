"""What is suggested first, and why."""

from collections.abc import Sequence

import pytest

from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_work
from scoord_agent.knowledge import areas, cochange, habits, imports
from scoord_agent.knowledge.meant import means
from scoord_agent.knowledge.ranking import Collision, Others, Ranked, Work, judged, ranked
from scoord_agent.knowledge.related import Hands, How, related
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.knowledge.works import (
    OpenTask,
    avoiding,
    left_out,
    others_of,
    tasks_first,
    wholly_free,
    works,
)

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


FILES_AREAS = ("auth", "cart", "docs", "web")


def names(found: Sequence[Ranked], kind: str = "area") -> list[str]:
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


def test_a_task_that_another_says_it_does_comes_later_and_says_so() -> None:
    sessions = [
        Session(session_id="a", alias="Session_1", intent="write the guide"),
        Session(session_id="b", alias="Session_2", intent="Fix the LOGIN flow, please"),
    ]
    tasks = (OpenTask("1", "fix login flow"), OpenTask("2", "write the guide"))

    found = all_of(others_of("a", sessions, ()), "", *tasks)

    assert ["2", "1"] == names(found, "task")
    assert ["2"] == names(wholly_free(found), "task"), "its own words do not count"
    last = next(one for one in found if one.work.name == "1")
    assert ["Session_2 says that it does this"] == wording_work.reasons(last, has_intent=False)


@pytest.mark.parametrize(
    ("said", "is_meant"),
    [
        ("fix login flow", True),
        ("Please fix the LOGIN flow: it fails", True),
        ("fix", False),
        ("login flow", False),
        ("fix the cart and its flow", False),
        ("", False),
        ("\n", False),
    ],
)
def test_words_mean_a_task_when_they_have_all_of_its(said: str, is_meant: bool) -> None:
    assert is_meant is means(said, "fix login flow")


@pytest.mark.parametrize(
    ("said", "title", "is_meant"),
    [
        ("why do the tests fail, and what is a lock", "the tests", False),
        ("I fix it all and add the CI", "fix it", False),
        ("The tests!", "the tests", True),
        ("登录", "登录", True),
        ("fix the login flows", "fix the login flow", True),
    ],
)
def test_a_title_of_few_words_is_meant_by_these_alone(
    said: str, title: str, *, is_meant: bool
) -> None:
    assert is_meant is means(said, title)


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

    assert {"cart/price.py", "cart/cart.py"} == work.files == work.named
    assert ("cart",) == work.areas


def test_a_task_of_an_area_may_touch_its_files_and_names_none() -> None:
    (work, *_) = works(KNOWN, AREAS, [OpenTask("1", "tidy it up", area="cart")], (), "")

    assert {"cart/price.py", "cart/cart.py"} == work.files
    assert not work.named


def test_files_are_suggested_that_belong_to_what_the_session_holds() -> None:
    found = ranked(works(KNOWN, AREAS, (), ["cart/cart.py"], ""), Others(), KNOWN)

    assert ["web/page.py", "cart/price.py"] == names(found, "file")
    first = next(one for one in found if one.work.kind == "file")
    assert ["it is free", "changes with cart/cart.py"] == (
        wording_work.reasons(first, has_intent=False)
    )


@pytest.mark.parametrize(("own", "patterns"), [(["cart/price.py"], []), ([], ["cart/p*"])])
def test_what_the_session_holds_itself_is_not_called_free(
    own: list[str], patterns: list[str]
) -> None:
    tasks = [OpenTask("1", "mend cart/price.py"), OpenTask("2", "mend web/page.py")]
    every = works(KNOWN, AREAS, tasks, own, "the price", own_patterns=patterns)

    said = {
        one.work.name: wording_work.reasons(one, has_intent=False)[0]
        for one in ranked(every, Others(), KNOWN)
    }

    assert ("you hold its file", "its file is free") == (said["1"], said["2"])
    assert "nobody else holds any of its 2 files" == said["cart"]
    assert "nobody holds any of its 2 files" == said["auth"]
    assert "cart/price.py" not in said


NEAR = [f"near{n:02}.py" for n in range(20)]


@pytest.mark.parametrize(("own", "patterns"), [(NEAR[:1], ["near*"]), (NEAR, []), ([], ["near*"])])
def test_a_file_is_suggested_also_where_all_that_is_nearer_is_the_sessions_own(
    own: list[str], patterns: list[str]
) -> None:
    files = {path: path for path in (*NEAR, "z_nearby.py")}
    first, *others = files
    together = cochange.learn([[first, other] for other in NEAR[1:]] * 4, files)
    linked = imports.turned({first: tuple(others)}, files)
    known = Knowledge("x", files, cochange=together, imports=linked)
    found = areas.found(files, together, {})

    every = works(known, found, (), own, "near", own_patterns=patterns)

    assert ["z_nearby.py"] == [work.name for work in every if work.kind == "file"]


def test_the_same_question_has_the_same_answer() -> None:
    assert all_of(Others()) == all_of(Others())


def test_wholly_free_are_areas_where_nobody_is() -> None:
    sessions = [
        Session(session_id="a", alias="Session_1", areas=["web"]),
        Session(session_id="b", alias="Session_2", areas=["docs"]),
    ]
    locks = [
        Lock(path="cart/cart.py", holder=Holder(session_id="b", alias="Session_2")),
        Lock(path="auth/login.py", holder=Holder(session_id="a", alias="Session_1")),
    ]

    found = wholly_free(all_of(others_of("a", sessions, locks)))

    assert {"auth", "web"} == set(names(found, "area")), "its own files and areas do not count"


def test_an_area_with_an_open_task_comes_last_even_when_another_was_offered_the_task() -> None:
    every = works(KNOWN, AREAS, [OpenTask("1", "tidy", "cart")], (), "")
    for offered in (frozenset(), frozenset({("task", "1")})):
        best = ranked(every, Others(offered=offered), KNOWN)
        assert "cart" in names(best)
        assert "cart" == names(tasks_first(best, every))[-1]


def test_an_area_with_an_open_task_comes_before_what_meets_others() -> None:
    every = works(KNOWN, AREAS, [OpenTask("1", "tidy", "cart")], (), "")
    others = Others(held={"auth/login.py": "Session_2"}, areas={"auth": "Session_2"})

    found = tasks_first(ranked(every, others, KNOWN, "refresh the login token"), every)

    assert ["cart", "auth"] == names(found)[-2:]
    assert found[-1].collision.expected > 0.9
    assert 0.0 == found[-2].collision.expected


def test_what_meets_others_is_avoided_while_there_is_other_work() -> None:
    busy = dict.fromkeys(("auth", "cart", "web"), "Session_2")

    assert ["docs"] == names(avoiding(all_of(Others(areas=busy))))
    everywhere = all_of(Others(areas={**busy, "docs": "Session_3"}))
    assert everywhere == avoiding(everywhere), "the least of it is better than nothing"


def test_a_task_that_names_a_free_file_is_no_less_free_for_who_works_in_its_area() -> None:
    task = OpenTask("1", "colour the prices in cart/price.py")
    others = Others(
        held={"web/page.py": "Session_2"}, areas=dict.fromkeys(FILES_AREAS, "Session_2")
    )

    found = all_of(others, "colour the prices", task)

    assert ("task", "1") == (avoiding(found)[0].work.kind, avoiding(found)[0].work.name)
    assert ["1"] == names(wholly_free(found), "task")
    assert ["its file is free", "Session_2 works in its area"] == wording_work.reasons(
        found[0], has_intent=False
    )


def test_a_task_that_names_a_file_is_in_the_way_of_who_holds_it_or_what_changes_with_it() -> None:
    tasks = (OpenTask("1", "tidy auth/token.py"), OpenTask("2", "tidy cart/cart.py"))
    held = Others(held={"auth/login.py": "Session_2", "cart/cart.py": "Session_3"})

    found = judged(works(KNOWN, AREAS, tasks, (), ""), held, KNOWN)

    assert [] == names(avoiding(found), "task")
    said = {one.work.name: wording_work.in_the_way(one) for one in left_out(found, avoiding(found))}
    assert "what others hold often changes with its files" == said["1"]
    assert "Session_3 holds its file" == said["2"]
    assert ["1", "2"] == sorted([*said][:2]), "tasks first"
    assert "Session_2 holds 1 of its 2 files" == said["auth"]


CLICK = {
    path: path
    for path in (
        *(f"src/click/{name}.py" for name in ("core", "types", "utils", "parser", "decorators")),
        *(f"tests/test_{name}.py" for name in ("core", "types", "utils", "parser")),
        *("docs/options.md", "docs/quickstart.md", "README.md"),
    )
}


@pytest.mark.parametrize(
    ("intent", "fits"),
    [
        ("write tests/test_decorators.py", ["src/click/decorators.py"]),
        ("improve the types", ["src/click/types.py", "tests/test_types.py"]),
        ("describe the options in docs", ["docs/options.md"]),
        ("run the tests of src/click", []),
    ],
)
def test_words_of_most_names_make_no_file_fit(intent: str, fits: list[str]) -> None:
    known = Knowledge("x", CLICK)

    found = ranked(
        works(known, areas.found(CLICK, known.cochange, {}), (), (), intent),
        Others(),
        known,
        intent,
    )
    files = [one for one in found if one.work.kind == "file"]

    assert sorted(fits) == sorted(names(files, "file"))
    assert all("fits what you are about to do" in _reasons(one) for one in files)


def test_a_file_of_usual_words_alone_may_still_be_close() -> None:
    commits = [*[["tests/test_api.py", "docs/options.md"]] * 4, *[["README.md"]] * 6]
    files = CLICK | {"tests/test_api.py": "tests/test_api.py"}
    known = Knowledge("x", files, cochange=cochange.learn(commits, files))

    found = ranked(works(known, AREAS, (), ["docs/options.md"], "test"), Others(), known, "test")
    (one,) = (each for each in found if each.work.kind == "file")

    assert ("tests/test_api.py", True) == (one.work.name, one.fit > 0.5)


def _reasons(one: Ranked) -> list[str]:
    return wording_work.reasons(one, has_intent=True)


def test_reasons_say_what_speaks_for_it_and_against_it() -> None:
    others = Others(held={"cart/cart.py": "Session_2"}, areas={"web": "Session_\x1b[2J3"})
    found = {one.work.name: one for one in all_of(others, "login token")}

    assert ["others hold 1 of its 2 files", "imports link it with files that others hold"] == (
        wording_work.reasons(found["cart"], has_intent=True)
    )
    assert "Session_3 works in its area" in wording_work.reasons(found["web"], has_intent=True)
    assert "fits what you are about to do" in wording_work.reasons(found["auth"], has_intent=True)
    assert "docs (what people read)" == wording_work.area(found["docs"], "what people read")


def test_what_is_kept_at_a_start_says_what_it_is_why_and_for_how_long() -> None:
    task = OpenTask("1", "tidy the \x1b[2Jlogin\n", "auth")
    found = {one.work.name: one for one in all_of(Others(), "login token", task)}

    def said(name: str, description: str = "") -> str:
        return wording_work.at_start(found[name], description, has_intent=False, kept_s=60.0)

    begin = "Suggestion, if there is nothing else to do: "
    end = "It is kept for this session for 1 min."
    assert said("docs", "what people read") == (
        f"{begin}area docs (what people read); its file is free. {end}"
    )
    assert said("1") == f'{begin}task 1, "tidy the login"; nobody holds any of its 2 files. {end}'


def test_what_the_holder_will_want_next_is_suggested_last() -> None:
    files = {name: name for name in ("f", "mine", "his", "a", "b")}
    commits = [["f", "his", "a"]] * 3 + [["f", "mine", "b"]] * 3
    known = Knowledge("x", files, cochange=cochange.learn(commits, files))

    found = [one.path for one in related(known, AREAS, "f", Hands(own=["b"], theirs=["a"]))]

    assert found.index("mine") < found.index("his")


def test_a_test_that_the_holder_will_want_next_comes_after_all_else() -> None:
    files = {name: name for name in ("src/a.py", "tests/test_a.py", "src/b.py", "his", "mine")}
    commits = [["his", "tests/test_a.py"]] * 3 + [["mine", "src/b.py"]] * 3
    known = Knowledge(
        "x", files, habits=habits.learn(files), cochange=cochange.learn(commits, files)
    )
    found_areas = areas.found(files, known.cochange, {})

    def first_and_last(hands: Hands) -> tuple[str, str]:
        first, *_, last = related(known, found_areas, "src/a.py", hands)
        return first.path, last.path

    assert "tests/test_a.py" == first_and_last(Hands())[0]
    assert "tests/test_a.py" == first_and_last(Hands(theirs=["his"]))[1]
    assert "src/b.py" == first_and_last(Hands(own=["mine"]))[0]


def test_a_test_that_never_changes_with_its_source_comes_after_what_does() -> None:
    files = {name: name for name in ("a.py", "tests/test_a.py", "b.py")}
    commits = [["a.py", "b.py"]] * 6 + [["tests/test_a.py"]] * 6
    known = Knowledge(
        "x", files, habits=habits.learn(files), cochange=cochange.learn(commits, files)
    )

    assert [("b.py", How.CHANGES), ("tests/test_a.py", How.NAMING)] == [
        (one.path, one.how) for one in related(known, AREAS, "a.py")
    ]


def test_a_task_of_which_nothing_is_known_has_a_reason_too() -> None:
    one = Ranked(Work("task", "1", "call the landlord"), Collision(), 0.0)

    assert ["nobody says that they do it"] == wording_work.reasons(one, has_intent=False)


def test_tasks_of_equal_score_come_as_they_stand_in_their_file() -> None:
    """Their ids are hashes: by these, the first of a list came anywhere."""
    ids = ("TODO.md#f1", "TODO.md#0a", "TODO.md#9c")
    tasks = [OpenTask(task_id, f"step {number}") for number, task_id in enumerate(ids)]

    assert [*ids] == names(all_of(Others(), "", *tasks), "task")
