"""What concerns a subagent's own locks and edits: it is told, or its main thread after its end."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.machines import FAST_LEASES, RunningSession, context, refusal, seconds_until
from support.pair import Pair, clones, pair

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])

BROKEN = "Your lock on a.py was broken by Session_2"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("subagents")) as made:
        yield made


@dataclass
class Team:
    """Alice with a subagent, and bob."""

    alice: RunningSession
    bob: RunningSession

    def edit(self, path: str) -> Any:
        """The subagent is about to edit."""
        return self.alice.edit(path, agent_id="ag1", agent_type="x")

    def edited(self, path: str) -> Any:
        """The subagent has edited."""
        return self.alice.edited(path, agent_id="ag1", agent_type="x")

    def main(self) -> str:
        """What the main thread is told now."""
        return context(self.alice.prompt("go on"))

    def is_over(self) -> None:
        """The subagent ends."""
        self.alice.post("SubagentStop", agent_id="ag1", agent_type="x")


def begun(two: Pair, tmp_path: Path, settings: str) -> Team:
    files = {"a.py": "pass\n", "b.py": "pass\n", "coordination.yaml": settings}
    team = clones(tmp_path, files)
    made = Team(two.alice.running_session(team.alices), two.bob.running_session(team.bobs))
    made.alice.start()
    made.bob.start()
    assert {} == made.edit("a.py")
    return made


@pytest.fixture
def team(two: Pair, tmp_path: Path) -> Team:
    return begun(two, tmp_path, "")


@pytest.fixture
def warned(two: Pair, tmp_path: Path) -> Team:
    """Edits beside a holder go through."""
    return begun(two, tmp_path, "session_coordination: {conflict_action: warn}\n")


def break_it(team: Team) -> None:
    team.bob.run("unlock", "--force", "--yes", "a.py")


def test_a_subagent_is_told_that_its_lock_was_broken_and_its_main_thread_is_not(team: Team) -> None:
    break_it(team)
    assert "" == refusal(team.bob.edit("a.py"))
    team.bob.run("release", "a.py")

    assert "broken" not in team.main()
    answer = team.edit("a.py")
    assert BROKEN in context(answer)
    assert "Read the file again" in context(answer)
    assert "" == context(team.edited("a.py")), "once"
    team.is_over()
    assert "broken" not in team.main()


def test_of_a_subagent_that_was_not_told_before_it_ended_its_main_thread_is(team: Team) -> None:
    break_it(team)
    team.is_over()

    seconds_until("main is told", lambda: BROKEN in team.main(), 5)
    assert "broken" not in team.main(), "once"


def test_a_subagent_is_told_whom_its_edit_met(team: Team) -> None:
    break_it(team)
    assert "" == refusal(team.bob.edit("a.py"))
    assert BROKEN in context(team.edited("a.py"))

    def met() -> bool:
        return "You edited a.py without the protection" in context(team.edited("b.py"))

    seconds_until("the subagent is told", met, 5)
    assert "You edited" not in team.main()


def test_who_broke_a_lock_is_told_of_an_edit_after_that_and_who_edited_is_too(team: Team) -> None:
    break_it(team)
    assert BROKEN in context(team.edited("a.py"))

    told = team.bob.told_at_last("Session_1 (alice@")
    assert "edited a.py after you broke its lock on it" in told
    said = list[str]()

    def met() -> bool:
        said.append(context(team.edited("b.py")))
        return "broke your lock before that" in said[-1]

    seconds_until("the subagent is told", met, 5)
    assert "" == refusal(team.bob.edit("a.py"))
    assert "edited a.py" not in team.bob.told(), "once"


def test_a_subagent_that_has_lost_its_lock_with_others_is_told_of_its_own(team: Team) -> None:
    assert "" == refusal(team.alice.edit("b.py"))
    break_it(team)
    team.bob.run("unlock", "--force", "--yes", "b.py")

    seconds_until("main is told", lambda: "Your lock on b.py" in team.main(), 5)
    told = context(team.edited("b.py"))
    assert BROKEN in told
    assert "Your lock on b.py" not in told


def test_a_subagent_is_told_of_who_edits_beside_it_be_it_its_own_main_thread(warned: Team) -> None:
    assert "(subagent ag1)" in context(warned.alice.edit("a.py"))
    assert "is locked by Session_1" in context(warned.bob.edit("a.py"))

    told = list[str]()

    def both() -> bool:
        told.append(context(warned.edited("b.py")))
        said = "".join(told)
        return "Another thread of this session edits a.py" in said and "Session_2" in said

    seconds_until("the subagent is told of both", both, 5)
    assert "edits a.py too" not in warned.main()


def test_a_session_does_not_depend_on_itself(team: Team) -> None:
    assert "(subagent ag1)" in refusal(team.alice.edit("a.py"))
    assert "(subagent ag1)" not in refusal(team.bob.edit("a.py"))

    def rows() -> str:
        return team.bob.run("status")[1]

    seconds_until("bob depends on it", lambda: "Session_1 (waits for a.py)" in rows(), 5)
    assert 1 == rows().count("(waits for a.py)")


def test_a_subagent_is_told_that_another_waits_for_what_it_holds(team: Team) -> None:
    assert refusal(team.bob.edit("a.py"))
    told = [""]

    def is_told() -> bool:
        told.append(context(team.edited("a.py")))
        return "Session_2 (bob@" in told[-1] and "waits for a.py, which you hold" in told[-1]

    seconds_until(f"the subagent is told: {told}", is_told, 5)
    assert "waits for" not in team.main()


def test_a_subagent_is_told_that_its_main_thread_waits_for_what_it_holds(team: Team) -> None:
    assert refusal(team.alice.edit("a.py"))
    told = [""]

    def is_told() -> bool:
        told.append(context(team.edited("a.py")))
        return "The main thread of this session waits for a.py, which you hold." in told[-1]

    seconds_until(f"the subagent is told: {told}", is_told, 5)


def test_what_a_main_thread_lost_comes_back_before_its_subagents_file_in_it(team: Team) -> None:
    """A pattern by two questions, a share by as many, and the file by one."""
    alice, agent = team.alice, team.alice.machine.agent
    team.is_over()
    assert 0 == alice.run("lock", "*.yaml")[0]
    assert 0 == alice.run("lock", "--shared", "b.py")[0]
    for file in ("coordination.yaml", "b.py"):
        assert {} == team.edit(file)

    def held() -> set[tuple[str, str]]:
        rows = team.bob.machine.status(team.bob.cwd)["locks"]
        return {(row["path"], row["agent_id"]) for row in rows}

    assert agent is not None
    before = held()
    assert {("*.yaml", ""), ("coordination.yaml", "ag1"), ("b.py", ""), ("b.py", "ag1")} == before
    agent.freeze()
    seconds_until("her lease is over", lambda: not held(), TTL_S + 5)
    agent.thaw()

    seconds_until("all of it is hers again", lambda: before == held(), 10)
    told = team.main()
    assert "Your lock on *.yaml was lost for a while and is yours again" in told
    assert "Your share of b.py was lost for a while and is yours again" in told


def test_a_main_thread_is_told_that_its_lock_went_with_its_subagent(team: Team) -> None:
    assert 0 == team.alice.run("lock", "--for", "30m", "b.py")[0]
    assert {} == team.edit("b.py")
    team.is_over()

    seconds_until("it is free", lambda: not refusal(team.bob.edit("b.py")), 5)
    told = team.main()
    assert "Your lock on b.py went with the subagent that took it over by its edit" in told
    assert "went with" not in team.main(), "once"
