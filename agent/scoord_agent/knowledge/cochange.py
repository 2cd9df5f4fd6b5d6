"""Which files change together, learned from past commits. Pure.

A commit that touches very many files says nothing of any two of them (a rename, a
formatter, a vendored update), so it is left out. Two files belong together as far
as their commits are the same ones: the cosine of both, so that a change log, which
is in every commit, belongs to no file in particular.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from scoord.names import path_key

GIANT = 40
"""A commit of more files than this is left out."""

MOST_PARTNERS = 20
"""Kept of each file."""

_LEAST_TOGETHER = 2
_LEAST_CONFIDENCE = 0.15
_DOUBT = 1.0
"""Commits added to both counts: two of two is less sure than nine of ten."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A file that changes with another one."""

    path: str
    """As shown."""
    together: int
    """In how many commits both changed."""
    of: int
    """In how many commits the other one changed."""
    closeness: float
    """0 to 1; what they are ranked by."""

    @property
    def confidence(self) -> float:
        """How likely it changes when the other one does."""
        return self.together / self.of


@dataclass(frozen=True, slots=True)
class CoChange:
    """The partners of every file, closest first; by key."""

    partners: Mapping[str, tuple[Partner, ...]]
    changes: Mapping[str, int]
    """In how many commits each file changed."""

    def of(self, key: str) -> tuple[Partner, ...]:
        """What changes with a file."""
        return self.partners.get(key, ())

    def likely(self, key: str) -> list[tuple[str, float]]:
        """What changes when a file does, by key, and how likely each is."""
        return [(path_key(each.path), each.confidence) for each in self.of(key)]


NOTHING = CoChange({}, {})


def learn(commits: Iterable[Sequence[str]], files: Mapping[str, str]) -> CoChange:
    """What ``commits`` say of ``files``, which are there now: as shown, by key."""
    changes: Counter[str] = Counter()
    together: dict[str, Counter[str]] = {}
    for commit in commits:
        known = sorted({key for path in commit if (key := path_key(path)) in files})
        if len(commit) > GIANT:
            continue
        changes.update(known)
        for key in known:
            together.setdefault(key, Counter()).update(known)
    partners = {key: _closest(key, found, changes, files) for key, found in together.items()}
    return CoChange({key: some for key, some in partners.items() if some}, dict(changes))


def _closest(
    key: str, together: Counter[str], changes: Mapping[str, int], files: Mapping[str, str]
) -> tuple[Partner, ...]:
    of = changes[key]
    found = [
        Partner(files[other], count, of, count / sqrt((of + _DOUBT) * (changes[other] + _DOUBT)))
        for other, count in together.items()
        if other != key and count >= _LEAST_TOGETHER and count / of >= _LEAST_CONFIDENCE
    ]
    found.sort(key=lambda partner: (-partner.closeness, partner.path))
    return tuple(found[:MOST_PARTNERS])
