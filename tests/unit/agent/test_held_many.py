"""What is looked at for one lock, or one session, where its machine has many."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scoord.ids import AgentId, FencingToken, SessionId
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock, is_in_place_of
from scoord_agent.losses import Losses
from support.held import BELIEF_S, LOCK, MAIN, SHOP, A, B
from support.house import SHOP as HERE
from support.house import House, until

MANY = 50
PATHS = ("a.py", "b.py", "c.py", "*.py", "b*")


def file(number: int, session: SessionId = A) -> HeldLock:
    name, token = f"f{number}.py", FencingToken(number + 1)
    return replace(LOCK, key=name, shown=name, token=token, session=session)


@pytest.fixture
def many() -> HeldLocks:
    """What two sessions have, in turn."""
    held = HeldLocks(BELIEF_S)
    for number in range(MANY):
        held.put(file(number, (A, B)[number % 2]))
    return held


@pytest.fixture
def unwalked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes through all that is held, or lost, fails."""

    def walk(all_of_them: object) -> Iterator[HeldLock]:
        pytest.fail(f"goes through all of {type(all_of_them).__name__}")

    monkeypatch.setattr(HeldLocks, "__iter__", walk)
    monkeypatch.setattr(Losses, "__iter__", walk)


def drawn(rng: random.Random, token: int) -> HeldLock:
    """Any lock; that several sessions and threads have one path is usual."""
    key = rng.choice(PATHS)
    return replace(
        LOCK,
        key=key,
        shown=key,
        is_pattern="*" in key,
        session=rng.choice((A, B)),
        agent=rng.choice((MAIN, AgentId("ag1"))),
        branch=rng.choice(("", "main")),
        shared=rng.random() < 0.6,
        token=FencingToken(token),
    )


def change(held: HeldLocks, rng: random.Random, token: int) -> None:
    """One of the things that happen to locks."""
    have, lost = list(held), list(held.losses)
    match rng.randrange(6):
        case 0 if have:
            held.lose(rng.choice(have))
        case 1 if have:
            held.drop(rng.choice(have))
        case 2 if lost:
            held.losses.settle(rng.choice(lost))
        case 3:
            held.missing(drawn(rng, token), stood_at=1.0)
        case _:
            held.put(drawn(rng, token))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_found_of_a_session_or_path_is_in_the_order_of_all(seed: int) -> None:
    held, rng = HeldLocks(BELIEF_S), random.Random(seed)
    for token in range(1, 80):
        change(held, rng, token)
        have, lost = list(held), list(held.losses)
        for session in (A, B):
            assert [lock for lock in have if lock.session == session] == held.of(session)
            own = [lock for lock in lost if lock.session == session]
            assert own == held.losses.of(session)
            assert [k for k in own if k.covers(SHOP, "b.py")] == held.losses.covering(
                session, SHOP, "b.py"
            )
        assert [k for k in lost if k.path == (SHOP, "a.py", False)] == held.losses.at(
            (SHOP, "a.py", False)
        )


def test_those_that_are_gone_are_not_kept_in_mind(many: HeldLocks) -> None:
    many.lapse(A)
    many.forget(A)
    many.forget(B)

    assert ([], []) == (many.of(A), many.of(B))
    assert ([], []) == (many.losses.of(A), many.losses.at(file(0).path))
    many.put(file(0, B))
    assert [file(0, B)] == many.of(B)


def test_who_has_a_path_on_two_branches_has_it_until_both_are_given_back() -> None:
    held = HeldLocks(BELIEF_S)
    one, other = (replace(LOCK, branch=branch) for branch in ("main", "dev"))
    held.put(one)
    held.put(replace(other, token=FencingToken(8)))

    held.drop(one)

    assert ["dev"] == [lock.branch for lock in held.of(A)]


@pytest.mark.usefixtures("unwalked")
def test_what_a_session_has_is_found_without_that_of_the_others(many: HeldLocks) -> None:
    many.lapse(B)
    many.losses.settle(file(1, B))

    assert MANY // 2 == len(many.of(A))
    assert MANY // 2 - 1 == len(many.known(B))
    assert [] == many.used(B)


@pytest.mark.usefixtures("unwalked")
def test_what_one_misses_is_not_looked_for_among_all_losses(many: HeldLocks) -> None:
    many.lapse(A)
    for number in range(MANY, 2 * MANY):
        many.missing(file(number), stood_at=1.0)
        many.missing(file(number), stood_at=1.0)

    assert MANY // 2 + MANY == len(many.losses.of(A))


def test_what_comes_back_is_compared_with_what_was_lost_there_alone(
    many: HeldLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.lapse(A)
    compared: list[HeldLock] = []

    def counted(now: HeldLock, before: HeldLock) -> bool:
        compared.append(before)
        return is_in_place_of(now, before)

    monkeypatch.setattr("scoord_agent.held.is_in_place_of", counted)
    for lock in many.losses.of(A):
        many.put(lock.granted_anew(FencingToken(lock.token + MANY)))

    assert len(compared) == len(many.losses.of(A)) == MANY // 2


@pytest.mark.usefixtures("unwalked")
async def test_what_went_with_its_lease_is_asked_for_without_a_look_at_all_of_it(
    house: House,
) -> None:
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, HERE, settings)
    for number in range(MANY):
        house.held.put(replace(file(number), project=HERE))
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)

    await house.registration.enter(house.session, HERE, settings)
    house.reclaiming.begin(house.session)
    await until(lambda: not house.held.losses.of(A))

    assert MANY == len(house.held.of(A))
