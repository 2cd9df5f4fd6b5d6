"""Which free work fits a session best: least in the way of others, nearest to its intent. Pure.

The **expected collision** of a piece of work is how likely its files meet those that
others hold or will want soon. Five things speak for that, each with a weight that
says how sure it is; they are combined as independent chances:

| sign | weight | what it is |
| --- | --- | --- |
| shared files | 1.0 | others hold some of its files already |
| co-change | 0.7 | what others hold has changed together with its files |
| imports | 0.4 | what others hold imports its files, or is imported by them |
| same area | 0.8 | another session says that it works in its area; 0.2 of a task that names files |
| same task | 0.9 | another session says that it does this very task |

**Fit** is how alike its words and the session's intent are, or how close a file is to
what the session holds. **Life** is how much happens there: an area that nobody ever
changes is free, and no work. The score is the chance to meet nobody, times what fit
(a half) and life (three tenths) decide, over a base that every work has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from rapidfuzz import fuzz, process, utils

from scoord.names import path_key
from scoord.patterns import matches
from scoord_agent.knowledge.meant import who_means
from scoord_agent.knowledge.repository import Knowledge

SHARED = 1.0
CO_CHANGE = 0.7
IMPORTS = 0.4
SAME_AREA = 0.8
AREA_OF_NAMED = 0.2
"""The same of a task that names its files: what it will touch is known, and judged by itself."""
SAME_TASK = 0.9

_PROBABLE = 0.5
"""From here on a collision is expected rather than not."""

NEUTRAL_FIT = 0.3
"""Of everything, where a session has said nothing of its intent."""

_KINDS: Mapping[str, float] = {"task": 1.0, "area": 0.9, "file": 0.8}
"""A task was written down by somebody; a file is a guess."""
BASE, FIT, LIFE = 0.2, 0.5, 0.3

_UNLIKE = 45.0
"""Texts that have nothing to do with each other are so alike, of 100."""
_SPELT_SO = 80.0
_TELLING = 4
"""Letters of a word that says something."""
_MOST_WORDS, _FEW = 12, 2
_NEARLY = 0.9
_MOST_HELD = 200
_NEAR = 0.25
"""What one import counts for."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something that a session could do next."""

    kind: str
    """``task``, ``area`` or ``file``."""
    name: str
    title: str
    text: str = ""
    """More words that say what it is about; all of them of a file, whose path has others too."""
    files: frozenset[str] = frozenset()
    """Keys of the files that it would touch, as far as that can be told."""
    areas: tuple[str, ...] = ()
    life: float = 1.0
    """0 to 1: how much happens there, beside the liveliest."""
    closeness: float = 0.0
    """0 to 1: how close it is to what the session holds."""
    because: str = ""
    """Why it is close."""
    named: frozenset[str] = frozenset()
    """Those of its files that its title names: of the rest it may touch none."""
    mine: frozenset[str] = frozenset()
    """Those of its files that the session holds itself."""


@dataclass(frozen=True, slots=True)
class Others:
    """What the other sessions of the project have and do."""

    held: Mapping[str, str] = field(default_factory=dict)
    """Who holds a file, by key; the short name of the session."""
    patterns: Sequence[tuple[str, str]] = ()
    """Patterns that are held, and by whom."""
    areas: Mapping[str, str] = field(default_factory=dict)
    """Who works in an area."""
    intents: Mapping[str, str] = field(default_factory=dict)
    """Who says that it does something, by its words as they are compared."""
    offered: frozenset[tuple[str, str]] = frozenset()
    """What is offered to others, by kind and name."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What all that others hold means for the files of the repository; by key."""

    taken: frozenset[str]
    """Files that somebody has, by themselves or by a pattern."""
    wanted: Mapping[str, float]
    """How likely a file is wanted next by those who hold what changes with it."""
    links: Mapping[str, int]
    """How many of the files that are held a file imports, or is imported by."""

    @classmethod
    def of(cls, others: Others, knowledge: Knowledge) -> "Ahead":
        """Look ahead, once for all works."""
        held = list(others.held)[:_MOST_HELD]
        free: dict[str, float] = {}
        for key in held:
            for other, confidence in knowledge.cochange.likely(key):
                free[other] = free.get(other, 1.0) * (1.0 - confidence)
        wanted = {key: 1.0 - chance for key, chance in free.items() if key not in others.held}
        near = (path_key(path) for key in held for path in knowledge.imports.neighbours(key))
        covered = below((pattern for pattern, _ in others.patterns), knowledge)
        return cls(frozenset(others.held.keys() | covered), wanted, Counter(near))


def below(patterns: Iterable[str], knowledge: Knowledge) -> set[str]:
    """Keys of the files that some patterns cover."""
    return {key for pattern in patterns for key in knowledge.files if matches(pattern, key)}


@dataclass(frozen=True, slots=True)
class Collision:
    """How likely a piece of work meets others, and what speaks for that."""

    shared: tuple[str, ...] = ()
    """Its files that others hold; keys."""
    holder: str = ""
    """Who holds the first of them."""
    co_change: float = 0.0
    imports: float = 0.0
    worker: str = ""
    """Who works in its area."""
    doer: str = ""
    """Who says that it does this task."""
    of: int = 0
    """How many files it has."""
    is_named: bool = False
    """Whether these are all that it is about."""

    @property
    def expected(self) -> float:
        """0 to 1."""
        signs = (
            SHARED * self._share,
            CO_CHANGE * self.co_change,
            IMPORTS * self.imports,
            (AREA_OF_NAMED if self.is_named else SAME_AREA) * bool(self.worker),
            SAME_TASK * bool(self.doer),
        )
        return 1.0 - prod(1.0 - sign for sign in signs)

    @property
    def is_probable(self) -> bool:
        """Whether who does this work would rather meet others than not."""
        return self.expected >= _PROBABLE

    @property
    def is_certain(self) -> bool:
        """Whether others have all of it."""
        return self.expected >= 1.0

    @property
    def _share(self) -> float:
        """A third of the files is nearly as bad as all: nobody edits all files of an area."""
        if not self.shared:
            return 0.0
        all_of_it = len(self.shared) == self.of
        return 1.0 if all_of_it else min(_NEARLY, 3 * len(self.shared) / self.of)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A piece of work, and what was found of it."""

    work: Work
    collision: Collision
    fit: float

    @property
    def score(self) -> float:
        """0 to 1; the higher the better."""
        free = 1.0 - self.collision.expected
        worth = BASE + FIT * self.fit + LIFE * self.work.life
        return free * worth * _KINDS[self.work.kind]


def ranked(
    works: Iterable[Work], others: Others, knowledge: Knowledge, intent: str = ""
) -> list[Ranked]:
    """What is free of ``works``, best first. What others were offered or have whole is not."""
    return [one for one in judged(works, others, knowledge, intent) if not one.collision.is_certain]


def judged(
    works: Iterable[Work], others: Others, knowledge: Knowledge, intent: str = ""
) -> list[Ranked]:
    """The same with what others have whole, which comes last."""
    ahead = Ahead.of(others, knowledge)
    found = [
        Ranked(work, collision_of(work, others, ahead), fit_of(work, intent))
        for work in works
        if (work.kind, work.name) not in others.offered
    ]
    return sorted(found, key=_order)


def _order(one: Ranked) -> tuple[float, str, str]:
    """Of equal ones, tasks come as they stand in the backlog: an id may be a hash."""
    kind = one.work.kind
    return -one.score, kind, "" if kind == "task" else one.work.name


def collision_of(work: Work, others: Others, ahead: Ahead) -> Collision:
    """How likely ``work`` meets others."""
    shared = tuple(sorted(work.files & ahead.taken))
    wanted = prod(1.0 - ahead.wanted[key] for key in work.files & ahead.wanted.keys())
    links = sum(ahead.links[key] for key in work.files & ahead.links.keys())
    worker = next((who for name in work.areas if (who := others.areas.get(name))), "")
    doer = who_means(work.title, others.intents) if work.kind == "task" else ""
    near = min(1.0, _NEAR * links)
    return Collision(
        shared,
        _holder(shared, others),
        1.0 - wanted,
        near,
        worker,
        doer,
        len(work.files),
        is_named=bool(work.named),
    )


def _holder(shared: Sequence[str], others: Others) -> str:
    """Who holds the first of some files, by itself or by a pattern."""
    if not shared:
        return ""
    key = shared[0]
    by_pattern = (who for pattern, who in others.patterns if matches(pattern, key))
    return others.held.get(key) or next(by_pattern, "")


def fit_of(work: Work, intent: str) -> float:
    """How well ``work`` fits the words of ``intent``, and what the session holds; 0 to 1."""
    if not intent:
        return max(NEUTRAL_FIT, work.closeness)
    texts = (intent, work.text if work.kind == "file" else f"{work.title} {work.text}")
    said, about = map(utils.default_process, texts)
    alike = (fuzz.token_set_ratio(said, about) - _UNLIKE) / (100.0 - _UNLIKE)
    return max(alike, _words_met(said, about), work.closeness, 0.0)


def _words_met(said: str, about: str) -> float:
    """How many of the words of an intent are in what a work is about, more or less spelt so."""
    words = [word for word in said.split() if len(word) >= _TELLING][:_MOST_WORDS]
    there = {word for word in about.split() if len(word) >= _TELLING}
    met = (process.extractOne(w, there, scorer=fuzz.ratio, score_cutoff=_SPELT_SO) for w in words)
    return sum(found is not None for found in met) / max(len(words), _FEW)
