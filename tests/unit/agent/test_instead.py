"""What is suggested in place of a file that is taken, on a real repository."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.v1.events_pb2 import Offer, WatchResponse
from scoord.v1.locks_pb2 import Holder, Waiter
from scoord_agent.held import QUIET_S
from scoord_agent.knowledge.repository import learn
from support.clock import FakeClock
from support.house import House, editing_house, until
from support.repositories import git

FAR = Holder(session_id="Session_far", alias="Session_2")


def commit(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("_py", ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "more")


@pytest.fixture
async def knowing(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    async with editing_house(tmp_path, clock, learn) as made:
        commit(made.root, shop__cart_py="import shop.price\n", shop__price_py="")
        for n in range(4):
            commit(made.root, shop__cart_py=f"import shop.price  # {n}\n", web__page_py=str(n))
        commit(made.root, specs__test_cart_py="", shop__other_py="")
        yield made


async def refused(house: House, file: str = "shop/cart.py") -> str:
    """What is suggested when another holds ``file``, once the repository is known."""
    house.coordinator.hold(file, FAR.session_id)
    said = (await house.edit(file)).reason
    worktree = house.locator.worktree_of(str(house.root))
    assert worktree
    await until(lambda: house.knowing.at_once(worktree) is not None)
    assert "Suggestion: " in said, "also when nothing is known yet"
    house.coordinator.hold(file, FAR.session_id)
    return (await house.edit(file)).reason.partition("Suggestion: ")[2].partition("\n")[0]


async def test_its_test_is_suggested_wherever_the_project_keeps_it(knowing: House) -> None:
    assert "specs/test_cart.py is free and belongs to it." == await refused(knowing)


async def test_nothing_is_free_while_the_stream_is_silent(knowing: House, clock: FakeClock) -> None:
    await refused(knowing)
    clock.advance(QUIET_S + 1)

    assert (await refused(knowing)).startswith("work on something else until then")
    knowing.stream.live()
    assert "specs/test_cart.py is free and belongs to it." == await refused(knowing)


async def test_then_what_changes_with_it(knowing: House) -> None:
    knowing.stream.hold("specs/test_cart.py", FAR, 7)

    assert "web/page.py is free and changes with it in 4 of 5 commits." == await refused(knowing)


async def test_then_what_it_imports_then_its_area(knowing: House) -> None:
    knowing.stream.hold("specs/test_cart.py", FAR, 7)
    knowing.stream.hold("web/page.py", FAR, 8)
    assert "shop/price.py is free and is imported by it." == await refused(knowing)

    knowing.stream.hold("shop/price.py", FAR, 9)
    assert "shop/other.py is free and in the same area (shop)." == await refused(knowing)

    knowing.stream.hold("shop/other.py", FAR, 10)
    assert (await refused(knowing)).startswith("work on something else until then")


async def test_what_is_kept_for_the_next_in_its_queue_is_not_free(knowing: House) -> None:
    turn = Waiter(path="specs/test_cart.py", holder=FAR, has_turn=True)
    knowing.stream.tell(WatchResponse(revision=9, turn=turn))
    assert (await refused(knowing)).startswith("web/page.py ")

    knowing.clock.advance(21.0)
    knowing.stream.live()
    assert (await refused(knowing)).startswith("specs/test_cart.py "), "its claim is over"


async def test_what_was_offered_to_another_is_not_free(knowing: House) -> None:
    offer = Offer(kind="file", name="specs/test_cart.py", session=FAR)
    knowing.stream.tell(WatchResponse(revision=9, offer=offer))
    assert (await refused(knowing)).startswith("web/page.py ")

    knowing.stream.tell(WatchResponse(revision=10, offer_gone=offer))
    assert (await refused(knowing)).startswith("specs/test_cart.py ")


async def test_what_the_asker_has_itself_is_nothing_to_go_on_with(knowing: House) -> None:
    """Another may wait for it; that it is free read as if nobody did."""
    await knowing.edit("specs/test_cart.py")

    assert (await refused(knowing)).startswith("web/page.py ")


async def test_what_is_not_there_any_more_is_not_suggested(knowing: House) -> None:
    (knowing.root / "specs" / "test_cart.py").unlink()

    assert (await refused(knowing)).startswith("web/page.py ")


async def test_a_suggestion_costs_less_than_a_millisecond(knowing: House) -> None:
    await refused(knowing)
    for n in range(200):
        knowing.stream.hold(f"shop/held{n}.py", FAR, 100 + n)
    request = knowing.request("shop/cart.py")

    def once() -> float:
        begun = time.perf_counter()
        knowing.instead.of(request, "shop/cart.py")
        return time.perf_counter() - begun

    assert sorted(once() for _ in range(50))[25] < 0.001
