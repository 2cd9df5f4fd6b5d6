"""Who waits for what a thread of a session holds, until it is told so. Pure.

It is told of all who wait for one path at once, the first by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from scoord.ids import ProjectId
from scoord_agent import wording_held
from scoord_agent.turns import Place

MOST = 100
"""Of more a thread is told how many there are, as far as it is told of their path at all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be told of a place."""

    told: str
    more: int = 0
    """How many more wait behind it, of whom no place is known."""


Waiters = dict[Place, Wanted]
"""The first who came first."""


def add(waiters: Waiters, place: Place, wanted: Wanted) -> int:
    """Keep ``wanted``; for how many there was no room, not even as one more."""
    waiters[place] = wanted
    return _make_room(waiters) if len(waiters) > MOST else 0


def _make_room(waiters: Waiters) -> int:
    """Count the last one with the first who waits for its path, else leave the oldest out."""
    firsts = dict[tuple[ProjectId, str], Place]()
    for place in waiters:
        firsts.setdefault(_path(place), place)
    last = next((at for at in reversed(waiters) if at != firsts[_path(at)]), None)
    if last is None:
        return 1 + waiters.pop(next(iter(waiters))).more
    first, gone = firsts[_path(last)], waiters.pop(last)
    waiters[first] = replace(waiters[first], more=waiters[first].more + 1 + gone.more)
    return 0


def take(waiters: Waiters, most: int, is_held: Callable[[Place], bool]) -> list[str]:
    """What is told of the first paths, and then no more; of what is not held nothing is yet."""
    paths = list(dict.fromkeys(_path(place) for place in waiters if is_held(place)))
    return [_taken(waiters, path, is_held) for path in paths[: max(0, most)]]


def _taken(waiters: Waiters, path: tuple[ProjectId, str], is_held: Callable[[Place], bool]) -> str:
    places = [place for place in waiters if _path(place) == path and is_held(place)]
    first, *others = [waiters.pop(place) for place in places]
    more = first.more + sum(1 + other.more for other in others)
    return wording_held.and_more(first.told, more)


def _path(place: Place) -> tuple[ProjectId, str]:
    return place.project, place.key
