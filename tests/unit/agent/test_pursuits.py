"""A task is kept for the session that works on it, for as long as it does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from scoord.ids import LeaseId, ProjectId, SessionId
from scoord.paths import FileIdentity
from scoord.v1.tasks_pb2 import OfferRequest, OfferResponse
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.kept_work import KeptWork, from_kept, to_json
from scoord_agent.knowledge.ranking import Collision, Ranked, Work
from scoord_agent.local_session import LocalSession
from scoord_agent.next_work import NextWork
from scoord_agent.pursuit import AGAIN_S, KEPT_S, MOST_AGAIN, Given
from scoord_agent.pursuits import Pursuits
from scoord_agent.sessions import Sessions
from support.clock import FakeClock
from support.house import until

SHOP = ProjectId("example.org/shop")
AUTH = frozenset({"auth.py", "token.py"})


def _task(name: str, title: str = "", files: frozenset[str] = frozenset()) -> Ranked:
    """One that names ``files``, and is in an area with more."""
    work = Work(
        "task", name, title or f"title {name}", files=files | {"area.py"}, named=frozenset(files)
    )
    return Ranked(work, Collision(), 0.0)


class _Bench:
    """A session of this machine, and a coordinator that keeps what it is asked to, or does not."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.background = FakeClock(), Background()
        self.session = LocalSession(SessionId("a"), "claude-code", None, "/", lease=LeaseId(1))
        self.asked: list[tuple[list[str], float]] = []
        self.keeps_rest = list[bool]()
        self.titles = dict[str, str]()
        self.refuses = False
        self.gates = asyncio.Event()
        self.gates.set()
        sessions = Sessions(directory / "sessions.jsonl")
        sessions.add(self.session)
        self.pursuits = Pursuits(
            client=cast("CoordinatorClient", self),
            sessions=sessions,
            clock=self.clock,
            background=self.background,
        )

        self.work = NextWork(
            client=cast("CoordinatorClient", self),
            pursuits=self.pursuits,
            held=cast("Any", None),
            neighbours=cast("Any", None),
            knowing=cast("Any", None),
            locator=cast("Any", None),
            settings=cast("Any", None),
        )

    async def ask(
        self, _pick: Callable[[Any], Any], request: OfferRequest, _within_s: float
    ) -> OfferResponse:
        await self.gates.wait()
        names = [work.name for work in request.candidates]
        self.keeps_rest.append(request.keeps_rest)
        self.titles |= {work.name: work.title for work in request.candidates}
        self.asked.append((names, request.lasts.ToMilliseconds() / 1000))
        return OfferResponse(offered=() if self.refuses else request.candidates)

    def given(self, *tasks: Ranked) -> None:
        self.pursuits.given(self.session, SHOP, tasks)

    def prompts(self, text: str) -> None:
        self.pursuits.prompted(self.session, text)

    def edits(self, path: str) -> None:
        self.pursuits.edited(self.session, FileIdentity(SHOP, path, path, None))

    def passes(self, seconds: float) -> None:
        """So much time, in which the agent's heart beats."""
        for _ in range(int(seconds // 5)):
            self.clock.advance(5)
            self.pursuits.renew()

    async def kept(self) -> list[str]:
        """The tasks that were kept, one after the other, all for as long."""
        await until(lambda: not self.background._tasks)
        assert {KEPT_S} >= {lasts_s for _, lasts_s in self.asked}
        kept = [name for names, _ in self.asked for name in names]
        self.asked.clear()
        return kept


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[_Bench]:
    made = _Bench(tmp_path)
    yield made
    await made.background.close()


@pytest.mark.parametrize(
    ("prompt", "is_meant"),
    [
        ("fix LOGIN flow", True),
        ("Go on with task 2.", True),
        ("go on with task 20", False),
        ("2 things", False),
        ("write docs", False),
    ],
)
def test_a_prompt_means_a_task_by_its_name_or_its_words(prompt: str, *, is_meant: bool) -> None:
    assert is_meant is Given(SHOP, "2", "fix the login flow").is_meant(prompt)


@pytest.mark.parametrize(
    ("prompt", "is_meant"),
    [
        ("do issues.json#1", True),
        ("ISSUES.json#1, please", True),
        ("go on (./issues.json#1)", True),
        ("do issues.json#12", False),
        ("do my-issues.json#1", False),
        ("do old.issues.json#1", False),
        ("do docs/issues.json#1", False),
    ],
)
def test_a_task_in_a_file_is_not_meant_by_the_name_of_another_file(
    prompt: str, *, is_meant: bool
) -> None:
    assert is_meant is Given(SHOP, "issues.json#1", "fix the login flow").is_meant(prompt)


def test_a_task_of_a_file_is_meant_by_its_name_alone() -> None:
    assert Given(SHOP, "TODO.md#7ede6f46", "x").is_meant("do TODO.md#7ede6f46, please")


async def test_a_task_is_kept_again_while_its_session_works_on_it(bench: _Bench) -> None:
    bench.given(_task("1"), _task("2", "fix the login flow"))
    bench.passes(AGAIN_S)
    assert [] == await bench.kept(), "it was offered, and not taken up"

    bench.prompts("Fix the LOGIN flow")
    assert ["2"] == await bench.kept(), "at once"
    bench.passes(AGAIN_S)
    assert ["2"] == await bench.kept()
    bench.passes(2 * MOST_AGAIN * AGAIN_S)
    assert MOST_AGAIN - 2 == len(await bench.kept()), "half an hour in all"

    bench.edits("any.py")
    bench.prompts("and now the docs")
    bench.passes(AGAIN_S)
    assert [] == await bench.kept(), "of what that is for, nobody knows"
    bench.prompts("go on with task 2")
    assert ["2"] == await bench.kept(), "it goes on"


async def test_the_rest_of_what_was_offered_stays_so_while_one_is_worked_on(
    bench: _Bench,
) -> None:
    """It was said to be kept for two minutes, and nothing that was done took that back."""
    bench.given(_task("1", files=AUTH))
    bench.edits("auth.py")
    await until(lambda: not bench.background._tasks)
    three = [_task("1", files=AUTH), _task("2"), _task("3")]
    await bench.work.keep(bench.session, SHOP, three, 3, KEPT_S)
    bench.passes(AGAIN_S)
    await until(lambda: not bench.background._tasks)

    kept = [(names, rest) for (names, _), rest in zip(bench.asked, bench.keeps_rest, strict=True)]
    assert [(["1"], True), (["1", "2", "3"], False), (["1"], True)] == kept
    assert {"1": "title 1", "2": "title 2", "3": "title 3"} == bench.titles


async def test_an_edit_of_a_file_of_a_task_is_work_on_it(bench: _Bench) -> None:
    bench.given(_task("1", files=AUTH | {"x.py"}), _task("2", files=AUTH), _task("3"))
    bench.edits("other.py")
    bench.edits("area.py")
    assert [] == await bench.kept(), "their area has many files"

    bench.edits("auth.py")
    assert ["2"] == await bench.kept(), "the one that is about the fewest"
    bench.edits("x.py")
    assert [] == await bench.kept(), "one at a time"
    bench.prompts("now task 1")
    assert ["1"] == await bench.kept()


async def test_a_task_is_kept_no_more_when_another_is_asked_for(bench: _Bench) -> None:
    ends: Callable[[], None]
    for ends in (lambda: bench.given(_task("2")), bench.session.work.begin_anew):
        bench.given(_task("1", files=AUTH))
        bench.edits("auth.py")
        assert ["1"] == await bench.kept()
        bench.given(_task("1", files=AUTH))
        bench.passes(AGAIN_S)
        assert ["1"] == await bench.kept(), "it was offered the same"
        ends()
        bench.passes(AGAIN_S)
        assert [] == await bench.kept()


async def test_whose_task_another_was_offered_meanwhile_is_told_once_and_asks_again(
    bench: _Bench,
) -> None:
    bench.given(_task("1"))
    bench.refuses = True
    bench.prompts("do task 1")
    bench.passes(2 * AGAIN_S)
    assert ["1", "1", "1"] == await bench.kept()
    (told,) = bench.session.take_notices()
    assert told.startswith("Task 1, on which you work, was suggested to another")

    bench.refuses = False
    bench.passes(AGAIN_S)
    assert ["1"] == await bench.kept()
    assert [] == bench.session.take_notices()
    bench.refuses = True
    bench.passes(AGAIN_S)
    assert ["1"] == await bench.kept()
    assert 1 == len(bench.session.take_notices()), "it was lost anew"


async def test_what_is_asked_for_anew_is_not_let_go_for_what_was_done_before(
    bench: _Bench,
) -> None:
    bench.given(_task("1"))
    bench.gates.clear()
    asked = asyncio.create_task(bench.work.keep(bench.session, SHOP, [_task("2")], 1, KEPT_S))
    await asyncio.sleep(0)
    bench.prompts("do task 1")
    await asyncio.sleep(0)
    bench.gates.set()

    assert ["2"] == [one.work.name for one in await asked]
    assert ["2"] == await bench.kept()


async def test_an_agent_that_is_started_anew_goes_on_with_the_task(bench: _Bench) -> None:
    bench.given(_task("1"))
    bench.prompts("do task 1")
    assert ["1"] == await bench.kept()
    kept = KeptWork.model_validate_json(json.dumps(to_json(bench.session.work)))
    bench.session.work = from_kept(kept)

    bench.passes(5)
    assert ["1"] == await bench.kept()
    bench.prompts("go on with task 1")
    bench.passes(AGAIN_S)
    assert ["1"] == await bench.kept()
