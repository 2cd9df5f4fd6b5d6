"""Waiting for a file, giving it back, and when that happens by itself."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import Command, RunningSession, context, git, refusal, seconds_until
from support.pair import Clones, Pair, alices, bobs, clones, pair
from support.processes import wait_until

TOLD_S = 0.5
"""Who waits is told within this, by a hook or by the command that waits."""
A_BEAT_S = 2.0
"""Twice the agents' heartbeat here."""

FILES = {"auth.py": "pass\n", "other.py": "pass\n"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("waiting")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def queue(two: Pair, shop: Clones) -> list[str]:
    """Who waits, by their session ids, in order."""
    return [row["session_id"] for row in two.alice.status(shop.alices)["waiters"]]


def holders(two: Pair, shop: Clones) -> dict[str, str]:
    """The machine's owner, by file."""
    return {row["path"]: row["person"] for row in two.alice.status(shop.alices)["locks"]}


def waits(two: Pair, shop: Clones, session: RunningSession, *more: str) -> Command:
    """``session`` waits for auth.py, and is in the queue."""
    before = len(queue(two, shop))
    command = session.start_command("wait", "auth.py", *more)
    wait_until("it is in the queue", lambda: len(queue(two, shop)) > before)
    return command


# scoord wait


def test_who_waits_has_the_file_at_once_when_it_is_given_back(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert refusal(alice.edit("auth.py")) == ""
    command = waits(two, shop, bob)
    time.sleep(0.5)

    assert command.text("rc") == ""
    assert "is locked by Session_1 (alice@" in command.text("err")
    assert "place 1 in the queue" in command.text("err")
    assert "waits for auth.py" in context(alice.edit("auth.py"))

    begun = time.monotonic()
    released, _ = alice.run("release", "auth.py")
    command.wait()
    took_s = time.monotonic() - begun
    print(f"from the start of `release` to the end of `wait`: {took_s * 1000:.0f} ms")

    assert released == 0
    assert command.wait() == 0
    assert "locked auth.py" in command.text("out")
    assert {"auth.py": "bob"} == holders(two, shop)
    assert refusal(bob.edit("auth.py")) == ""
    assert "is free now" not in context(bob.prompt("go on")), "it has it already"


def test_being_told_takes_a_moment_only(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    waits(two, shop, bob)

    alice.post("SessionEnd", reason="other")
    took_s = wait_until("bob has it", lambda: holders(two, shop) == {"auth.py": "bob"})

    print(f"from the release until the waiter has it: {took_s * 1000:.0f} ms")
    assert took_s < TOLD_S


def test_the_next_hook_of_the_first_who_was_refused_says_so_soon(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py"))

    begun = time.monotonic()
    alice.post("SessionEnd", reason="other")
    wait_until("bob is told", lambda: "auth.py is free now" in context(bob.prompt("?")))
    took_s = time.monotonic() - begun

    print(f"from the release until the waiter is told: {took_s * 1000:.0f} ms")
    assert took_s < TOLD_S


def test_a_free_file_is_not_waited_for(two: Pair, shop: Clones) -> None:
    code, output = alices(two, shop).run("wait", "auth.py", "other.py", "--json")

    answer = json.loads(output)
    assert code == 0
    assert ["auth.py", "other.py"] == [grant["path"] for grant in answer["granted"]]
    assert answer["waited_s"] < 2.0


def test_who_has_waited_long_enough_leaves_the_queue(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")

    code, output = bob.run("wait", "auth.py", "--timeout", "0.5")

    assert code == 1
    assert "gave up after 0 s, and left the queue" in output
    assert [] == queue(two, shop)

    code, output = bob.run("wait", "auth.py", "--timeout", "0", "--json")
    (conflict,) = json.loads(output)["held"]

    assert code == 1
    assert conflict["place"] == 0
    assert "in the queue" not in conflict["message"]


def test_ctrl_c_leaves_the_queue_and_takes_nothing(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    command = waits(two, shop, bob)

    command.interrupt()

    assert command.wait() == 130
    wait_until("the queue is empty", lambda: queue(two, shop) == [])
    assert alice.run("release", "auth.py")[0] == 0
    time.sleep(0.5)
    assert {} == holders(two, shop)


def test_of_many_who_wait_only_the_first_is_told(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py"))
    assert refusal(carol.edit("auth.py"))

    alice.run("release", "auth.py")

    seconds_until("bob is told", lambda: "auth.py is free now" in context(bob.prompt("?")), 5)
    assert "is free now" not in context(carol.prompt("?"))
    refused = refusal(carol.edit("auth.py"))
    assert "auth.py is kept for" in refused
    assert "who waited first" in refused
    assert refusal(bob.edit("auth.py")) == ""


@pytest.mark.parametrize("command", ["release", "unlock"])
def test_a_place_and_a_turn_are_given_up_as_a_lock_is(
    command: str, two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert [refusal(alice.edit(file)) for file in FILES] == ["", ""]
    assert all(refusal(bob.edit(file)) for file in FILES)

    assert (0, "other.py: no longer waiting for it\n") == bob.run(command, "other.py")
    assert 1 == len(queue(two, shop))

    alice.run("release", "auth.py")
    assert "1 (its turn)" in alice.run("locks")[1], "it is kept, though nobody has locked it"
    assert "auth.py is kept for" in refusal(alice.edit("auth.py"))
    assert (0, "auth.py: no longer waiting for it\n") == bob.run(command, "auth.py")
    assert "" == refusal(alice.edit("auth.py"))
    assert "is free now" not in context(bob.prompt("go on")), "it does not want it any more"
    code, said = bob.run(command, "auth.py")
    assert (1, True) == (code, "auth.py is not locked by you" in said)


def test_a_subagent_goes_on_waiting_for_what_its_session_gives_back(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert "" == refusal(bob.edit("auth.py", agent_id="agent-1"))
    assert refusal(bob.edit("auth.py", agent_id="agent-2"))
    assert refusal(alice.edit("auth.py"))

    assert (0, "released auth.py\n") == bob.run("release", "auth.py")

    assert 2 == len(queue(two, shop))


def set_claim(shop: Clones, seconds: int) -> None:
    text = f"session_coordination: {{claim_timeout: {seconds}}}\n"
    (shop.bobs / "coordination.yaml").write_text(text, encoding="utf-8")


def test_a_turn_that_is_over_is_not_told_as_one_that_lasts(two: Pair, shop: Clones) -> None:
    set_claim(shop, 1)
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py"))

    alice.run("release", "auth.py")
    time.sleep(2.0)
    told = context(bob.prompt("go on"))

    assert "auth.py was free 2 s ago, and your turn at it is over: edit it to ask again." in told
    assert "is free now" not in told
    assert "auth.py" not in context(bob.prompt("go on")), "it is told once"


def test_a_holder_is_told_of_nobody_who_waits_no_more_nor_for_what_it_gave_back(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert [refusal(alice.edit(file)) for file in FILES] == ["", ""]
    assert all(refusal(bob.edit(file)) for file in FILES)
    gave_up = two.bob.running_session(shop.bobs)
    gave_up.start()
    waits(two, shop, gave_up, "--timeout", "1").wait()
    wait_until("it has left the queue", lambda: len(queue(two, shop)) == 2)
    alice.run("release", "auth.py")

    (told,) = [line for line in alice.told().splitlines() if "waits for" in line]
    assert told.startswith("Session_2 (bob@")
    assert "waits for other.py, which you hold" in told


def test_who_gets_the_file_by_its_turn_is_told_who_still_waits(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py"))
    assert refusal(carol.edit("auth.py"))
    alice.run("release", "auth.py")
    seconds_until("it is bob's turn", lambda: not refusal(bob.edit("auth.py")), 5)

    told = [""]

    def is_told() -> bool:
        told.append(context(bob.prompt("go on")))
        return "waits for auth.py, which you hold" in told[-1]

    seconds_until(f"bob is told: {told}", is_told, 5)
    assert "waits for" not in context(bob.prompt("go on")), "it is told once"


@pytest.mark.parametrize(
    ("comes", "told"),
    [(True, "your turn at it is over"), (False, "You do not wait for auth.py any more")],
)
def test_a_session_that_was_ended_as_idle_while_it_waited_hears_that_it_does_so_no_more(
    two: Pair,
    tmp_path: Path,
    comes: bool,
    told: str,
) -> None:
    settings = "session_coordination: {heartbeat_interval: 0.5, session_timeout: 1}\n"
    files = FILES | {"coordination.yaml": settings}
    short = clones(tmp_path / "short", files)
    alice, bob = alices(two, short), bobs(two, short)
    assert refusal(alice.edit("auth.py")) == ""
    assert refusal(bob.edit("auth.py"))
    if comes:
        alice.run("release", "auth.py")

    def is_ended() -> bool:
        alice.prompt("go on")
        return len(two.alice.status(short.alices)["sessions"]) == 1

    seconds_until("Bob's session is ended", is_ended, 30)
    time.sleep(A_BEAT_S)  # and his agent has heard of it
    assert told in bob.told()


def test_a_refusal_is_not_told_with_the_turn_before_it(two: Pair, shop: Clones) -> None:
    set_claim(shop, 1)
    alice, bob, carol = alices(two, shop), bobs(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py"))
    alice.run("release", "auth.py")
    seconds_until("carol has it", lambda: not refusal(carol.edit("auth.py")), 5)

    told = refusal(bob.edit("auth.py"))

    assert "auth.py is locked by" in told
    assert "auth.py is free now" not in told
    assert "auth.py" not in context(bob.prompt("go on"))


SUBAGENT = {"agent_id": "agent-1", "agent_type": "coder"}


def test_a_subagent_is_told_of_its_turn_at_its_own_next_hook(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert "will be told when it is free" in refusal(bob.edit("auth.py", **SUBAGENT))
    alice.run("release", "auth.py")
    told = [""]

    def is_told() -> bool:
        told.append(context(bob.edit("other.py", **SUBAGENT)))
        return "auth.py is free now" in told[-1]

    assert "auth.py" not in context(bob.prompt("go on")), "it is not the main thread's"
    seconds_until(f"the subagent is told: {told}", is_told, 5)
    assert refusal(bob.edit("auth.py", **SUBAGENT)) == ""


def test_a_subagent_that_ends_keeps_nobody_from_what_it_waited_for(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py", **SUBAGENT))

    bob.post("SubagentStop", stop_hook_active=False, **SUBAGENT)
    wait_until("it has left the queue", lambda: queue(two, shop) == [])
    alice.run("release", "auth.py")

    assert refusal(carol.edit("auth.py")) == ""


def test_who_came_first_is_served_first(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    first, second = waits(two, shop, bob), waits(two, shop, carol)

    alice.run("release", "auth.py")
    assert first.wait() == 0
    time.sleep(0.5)
    assert second.text("rc") == ""
    assert refusal(carol.edit("auth.py"))

    bob.run("release", "auth.py")
    assert second.wait() == 0
    assert refusal(carol.edit("auth.py")) == ""


def test_two_files_are_waited_for_together(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    alice.edit("other.py")
    command = bob.start_command("wait", "auth.py", "other.py")
    wait_until("it is in both queues", lambda: len(queue(two, shop)) == 2)

    alice.run("release", "auth.py")
    time.sleep(0.5)
    assert command.text("rc") == ""
    assert {"other.py": "alice"} == holders(two, shop), "all or none"

    alice.run("release", "other.py")
    assert command.wait() == 0
    assert {"auth.py": "bob", "other.py": "bob"} == holders(two, shop)


def test_status_shows_who_waits_for_what(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    waits(two, shop, bob, "--reason", "fix the login")

    _, status = alice.run("status")
    _, locks = alice.run("locks", "--json")

    (line,) = [line for line in status.splitlines() if "fix the login" in line]
    assert line.split()[:3] == ["auth.py", "1", "Session_2"]
    (lock,) = json.loads(locks)["locks"]
    assert (lock["waiters"], lock["mode"], lock["scope"]) == (1, "exclusive", "repository")
    assert [1] == [row["place"] for row in json.loads(locks)["waiters"]]


def test_a_wait_outlives_its_agent(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    command = waits(two, shop, bob)

    assert two.bob.agent is not None
    two.bob.agent.kill()
    two.bob.start_agent()
    alice.run("release", "auth.py")

    assert command.wait() == 0
    assert {"auth.py": "bob"} == holders(two, shop)


# scoord lock, refused


def test_a_terminal_that_is_refused_takes_no_place_and_is_shown_how_to_wait(
    two: Pair, shop: Clones
) -> None:
    alice = alices(two, shop)
    alice.edit("auth.py")

    refused = two.bob.scoord("lock", "./auth.py", "other.py", cwd=shop.bobs)
    shared = two.bob.scoord("lock", "auth.py", "--shared", cwd=shop.bobs)

    assert refused.returncode == 1
    assert "in the queue" not in refused.stderr
    assert "Suggestion: `scoord wait ./auth.py other.py` takes it" in refused.stderr
    assert "scoord wait" not in shared.stderr, "it would wait for another lock"
    assert [] == queue(two, shop)
    assert "waits for auth.py" not in context(alice.prompt("go on"))
    history = two.alice.scoord("history", "--kind", "refused", "--json", cwd=shop.alices)
    (line,) = json.loads(history.stdout)["events"]
    assert (["auth.py"], "bob", ["alice"]) == (
        line["paths"],
        line["person"],
        [other["person"] for other in line["others"]],
    )


def test_a_coding_session_that_is_refused_is_told_later(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")

    two.bob.scoord("lock", "other.py", cwd=shop.bobs)  # the terminal above it is a session too

    code, output = bob.run("lock", "auth.py")

    assert code == 1
    assert "You are first in the queue and will be told when it is free." in output
    assert len(queue(two, shop)) == 1


# release


def test_release_gives_back_ones_own_and_says_what_was_not(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")

    code, output = bob.run("release", "auth.py")
    assert code == 1
    assert "auth.py is not locked by you" in output

    code, output = alice.run("release", "auth.py")
    assert (code, output) == (0, "released auth.py\n")
    assert {} == holders(two, shop)


# release_on


def set_release_on(shop: Clones, when: str) -> None:
    text = f"session_coordination: {{release_on: {when}}}\n"
    (shop.alices / "coordination.yaml").write_text(text, encoding="utf-8")


def test_with_stop_a_turns_end_gives_all_back(two: Pair, shop: Clones) -> None:
    set_release_on(shop, "stop")
    alice = alices(two, shop)
    alice.edit("auth.py")
    alice.edit("other.py", agent_id="agent-1", agent_type="coder")
    assert {"auth.py", "other.py"} == set(holders(two, shop))

    alice.post("Stop", stop_hook_active=False)

    wait_until("auth.py is free", lambda: set(holders(two, shop)) == {"other.py"})
    alice.post("SubagentStop", agent_id="agent-1", agent_type="coder", stop_hook_active=False)
    wait_until("all is free", lambda: holders(two, shop) == {})


def test_without_it_a_turns_end_gives_nothing_back(two: Pair, shop: Clones) -> None:
    alice = alices(two, shop)
    alice.edit("auth.py")

    alice.post("Stop", stop_hook_active=False)
    time.sleep(0.5)

    assert {"auth.py": "alice"} == holders(two, shop)


def test_with_commit_what_is_committed_is_given_back(two: Pair, shop: Clones) -> None:
    set_release_on(shop, "commit")
    alice = alices(two, shop)
    for name in FILES:
        alice.edit(name)
        (shop.alices / name).write_text("changed\n", encoding="utf-8")
    alice.prompt("go on")
    time.sleep(1.2)  # what is checked out may be known for a second
    assert set(FILES) == set(holders(two, shop)), "nothing is committed yet"

    git(shop.alices, "commit", "-q", "-m", "auth", "auth.py")
    time.sleep(1.2)
    alice.prompt("go on")

    wait_until("auth.py is free", lambda: set(holders(two, shop)) == {"other.py"})


def test_with_commit_what_is_committed_just_before_the_turn_ends_is_given_back(
    two: Pair, shop: Clones
) -> None:
    set_release_on(shop, "commit")
    alice = alices(two, shop)
    alice.edit("auth.py")
    (shop.alices / "auth.py").write_text("changed\n", encoding="utf-8")
    alice.edited("auth.py")
    git(shop.alices, "commit", "-q", "-m", "auth", "auth.py")

    alice.post("Stop", stop_hook_active=False)

    wait_until("auth.py is free", lambda: holders(two, shop) == {})


def test_with_commit_a_file_that_is_edited_again_is_kept(two: Pair, shop: Clones) -> None:
    set_release_on(shop, "commit")
    alice = alices(two, shop)
    alice.edit("auth.py")
    (shop.alices / "auth.py").write_text("changed\n", encoding="utf-8")
    git(shop.alices, "commit", "-q", "-m", "auth", "auth.py")
    time.sleep(1.2)

    alice.edit("auth.py")
    alice.prompt("go on")
    time.sleep(0.5)

    assert {"auth.py": "alice"} == holders(two, shop), "the edit is about to happen"
