"""Which files belong to a given one, nearest first, and why. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from scoord.names import path_key
from scoord_agent.knowledge.areas import Areas
from scoord_agent.knowledge.repository import Knowledge

MOST_OF_A_KIND = 8

_OFTEN = 5
_MOST_HELD = 20


class How(StrEnum):
    """Why a file is related to another one."""

    NAMING = "naming"
    CHANGES = "changes"
    IMPORTS = "imports"
    IMPORTED = "imported"
    AREA = "area"


@dataclass(frozen=True, slots=True)
class Related:
    """A file that belongs to another one."""

    path: str
    how: How
    together: int = 0
    """Of ``of`` commits that changed the other, how many changed it too."""
    of: int = 0
    area: str = ""


@dataclass(frozen=True, slots=True)
class Hands:
    """What those who meet at a file hold already; keys. It says what they will want next."""

    own: Collection[str] = ()
    theirs: Collection[str] = ()


NO_HANDS = Hands()


def related(
    knowledge: Knowledge, areas: Areas, shown: str, hands: Hands = NO_HANDS
) -> Iterator[Related]:
    """Its test or source; what changes with it; what imports it or is imported; its area.

    Each file once, at most ``MOST_OF_A_KIND`` of each kind. But what also changes with what
    the asker holds comes first of all, and what rather changes with what the others hold
    comes last: that is what they will want next.
    """
    key = path_key(shown)
    own, theirs = _near(knowledge, hands.own, key), _near(knowledge, hands.theirs, key)

    def is_theirs(one: Related) -> float:
        other = path_key(one.path)
        return theirs.get(other, 0.0) - own.get(other, 0.0)

    seen = {key}
    for one in sorted(_by_kinds(knowledge, areas, shown, key), key=is_theirs):
        if (found := path_key(one.path)) not in seen:
            seen.add(found)
            yield one


def _by_kinds(knowledge: Knowledge, areas: Areas, shown: str, key: str) -> Iterator[Related]:
    """Some of each kind.

    A test that never changed with its source, where both often changed, comes after what did.
    """
    named = list(_by_name(knowledge, shown))
    belied = [one for one in named if _is_belied(knowledge, key, path_key(one.path))]
    for kind in (
        (one for one in named if one not in belied),
        _by_history(knowledge, key),
        iter(belied),
        _by_imports(knowledge, key),
        _by_area(knowledge, areas, shown, key),
    ):
        yield from islice(kind, MOST_OF_A_KIND)


def _by_name(knowledge: Knowledge, shown: str) -> Iterator[Related]:
    for path in knowledge.habits.counterparts(shown):
        yield Related(path, How.NAMING)


def _is_belied(knowledge: Knowledge, key: str, other: str) -> bool:
    """Whether history says of two files that they do not change together."""
    changes = knowledge.cochange.changes
    often = min(changes.get(key, 0), changes.get(other, 0)) >= _OFTEN
    return often and all(path_key(p.path) != other for p in knowledge.cochange.of(key))


def _by_history(knowledge: Knowledge, key: str) -> Iterator[Related]:
    for partner in knowledge.cochange.of(key):
        yield Related(partner.path, How.CHANGES, partner.together, partner.of)


def _near(knowledge: Knowledge, held: Collection[str], but: str) -> dict[str, float]:
    """How close each file is to what is held, but for the file that both want."""
    near: dict[str, float] = {}
    for key in islice(held, _MOST_HELD):
        for partner in knowledge.cochange.of(key) if key != but else ():
            other = path_key(partner.path)
            near[other] = max(near.get(other, 0.0), partner.closeness)
    return near


def _by_imports(knowledge: Knowledge, key: str) -> Iterator[Related]:
    """Those with the fewest importers first: what everything imports belongs to nothing."""
    found = [Related(path, How.IMPORTED) for path in knowledge.imports.imports(key)]
    found += [Related(path, How.IMPORTS) for path in knowledge.imports.imported_by(key)]
    yield from sorted(
        found, key=lambda one: (len(knowledge.imports.imported_by(path_key(one.path))), one.path)
    )


def _by_area(knowledge: Knowledge, areas: Areas, shown: str, key: str) -> Iterator[Related]:
    """Those in the same folder first, then those that change most."""
    folder = _folder(shown)
    for name in areas.of(key):
        area = areas.named(name)
        found = [knowledge.files[each] for each in (area.files if area else ())]
        found.sort(
            key=lambda path: (
                _folder(path) != folder,
                -knowledge.cochange.changes.get(path_key(path), 0),
                path,
            )
        )
        yield from (Related(path, How.AREA, area=name) for path in found)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
