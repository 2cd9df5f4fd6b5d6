"""How good suggestions are: past commits are replayed as sessions that work at once.

    .venv/bin/python bench/suggest.py [--sessions 4] [--rounds 400] [--json] [REPOSITORY ...]

Each repository is taken as it was before its latest commits, which then are the work
of sessions that have taken half of their files. Two of them need the same file, as
their commits show. The second is refused, and what the agent suggests is judged by
what its commit went on to change, and by what the others did. Beside it stands a
free file chosen by chance among those that change at all.

Then a new session asks what to do: the area that is ranked first against an area by
chance. A generated repository is always among them. Exit code 1 where something was
suggested that was not free, where it was less often of use without a collision than a
free related file by chance or any free file, or where the area collides more often than
chance.
"""

import json
import random
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from rich.console import Console  # noqa: E402 (found only now)
from rich.table import Table  # noqa: E402

from histories import Commit, Replay, generated, replay  # noqa: E402
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId  # noqa: E402
from scoord.names import path_key  # noqa: E402
from scoord.paths import FileIdentity, NamedBy, Worktree  # noqa: E402
from scoord.v1.events_pb2 import WatchResponse  # noqa: E402
from scoord.v1.locks_pb2 import Holder, Lock  # noqa: E402
from scoord_agent.held import HeldLocks  # noqa: E402
from scoord_agent.held_lock import HeldLock  # noqa: E402
from scoord_agent.knowledge.ranking import ranked  # noqa: E402
from scoord_agent.knowledge.related import related  # noqa: E402
from scoord_agent.knowledge.repository import Knowledge, learn  # noqa: E402
from scoord_agent.knowledge.works import others_of, works  # noqa: E402
from scoord_agent.local_session import LocalSession  # noqa: E402
from scoord_agent.neighbours import Neighbourhood  # noqa: E402
from scoord_agent.request import Request  # noqa: E402
from scoord_agent.suggest import Instead  # noqa: E402
from support.clock import FakeClock  # noqa: E402

SHARE, LATEST = 0.3, 300
"""Commits that are replayed, of all and at most; what is known is of before them."""

ASKER = SessionId("asker")
PROJECT = ProjectId("bench")
CLOCK = FakeClock()
"""Stands still: a stream that was heard at the beginning is heard all the while."""


@dataclass
class Figures:
    """What came out for one repository. Shares are of the rounds."""

    name: str
    files: int = 0
    commits: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def share(self, part: str, of: str) -> float:
        """How often ``part`` came about, of all ``of``."""
        return self.counts[part] / self.counts[of] if self.counts[of] else 0.0

    def row(self) -> dict[str, Any]:
        """All figures."""
        suggested = ("free", "useful", "collides", "good")
        return {
            "repository": self.name,
            "files": self.files,
            "commits": self.commits,
            "refusals": self.counts["refused"],
            "suggested": self.share("suggested", "refused"),
            **{each: self.share(each, "suggested") for each in suggested},
            "taken, if not checked": self.share("taken", "unchecked"),
            "collides, any related, not checked": self.share("blind collides", "blind"),
            "useful, any related": self.share("related useful", "related"),
            "collides, any related": self.share("related collides", "related"),
            "good, any related": self.share("related good", "related"),
            "useful by chance": self.share("chance useful", "chance"),
            "collides by chance": self.share("chance collides", "chance"),
            "good by chance": self.share("chance good", "chance"),
            "by": {how: self.share(f"{how} useful", how) for how in _HOWS if self.counts[how]},
            "areas asked for": self.counts["area"],
            "area fits": self.share("area fits", "area"),
            "area collides": self.share("area collides", "area"),
            "area fits by chance": self.share("area chance fits", "area"),
            "area collides by chance": self.share("area chance collides", "area"),
        }


_HOWS = ("naming", "changes", "imports", "imported", "area of it")


class World:
    """One moment: who holds what, and what each will want."""

    def __init__(
        self,
        known: Knowledge,
        root: Path,
        sessions: Sequence[Commit],
        first: str,
        rng: random.Random,
    ) -> None:
        """``sessions[0]`` asks for ``first``, which ``sessions[1]`` holds."""
        self.root, self.known = root, known
        self.wants = [frozenset(map(path_key, commit.files)) for commit in sessions]
        self.held: dict[str, int] = {path_key(first): 1}
        for number, wanted in enumerate(self.wants):
            # Who asks holds half of the rest; of what it does not hold, the suggestion is judged.
            taken = sorted(wanted - self.held.keys())
            for key in rng.sample(taken, k=(len(taken) + (number > 0)) // 2):
                self.held[key] = number
        self.mine = self.wants[0] - self.held.keys()
        self.neighbourhood = Neighbourhood()
        self.own = HeldLocks(20.0)
        for token, (key, number) in enumerate(sorted(self.held.items()), 1):
            if number == 0:
                self.own.put(_own(key, token))
            self.neighbourhood.apply(
                WatchResponse(revision=token, lock=_lock(known.files.get(key, key), number, token)),
                CLOCK.now(),
            )

    def is_free(self, key: str) -> bool:
        """By what is true, not by what the agent found."""
        return key not in self.held and (self.root / self.known.files.get(key, "\\0")).is_file()

    def meets(self, keys: Sequence[str]) -> int:
        """How many of ``keys`` another session has, or goes on to change."""
        return sum(bool(self.held.get(key)) or self.will_be_wanted(key) for key in keys)

    def risk(self, files: frozenset[str]) -> float:
        """How likely one edit in ``files``, where they change most, is of what others want."""
        changes = {key: self.known.cochange.changes.get(key, 0) + 0.1 for key in files}
        met = sum(changes[key] for key in files if self.will_be_wanted(key))
        return met / sum(changes.values())

    def will_be_wanted(self, key: str) -> bool:
        """Whether another session goes on to change the file."""
        return any(key in wanted for wanted in self.wants[1:])


def _own(key: str, token: int) -> HeldLock:
    return HeldLock(PROJECT, key, key, ASKER, AgentId(""), FencingToken(token))


def _lock(path: str, number: int, token: int) -> Lock:
    holder = Holder(session_id=f"s{number}" if number else ASKER, alias=f"Session_{number}")
    return Lock(project=PROJECT, path=path, token=token, holder=holder)


def measure(source: Replay, sessions: int, rounds: int, rng: random.Random) -> Figures:
    """Replay one repository."""
    known = learn(source.root, source.commit)
    figures = Figures(source.name, len(known.files), len(source.commits))
    fit = [c for c in source.commits if len(_known(c, known)) >= 2]
    pairs = _pairs(fit, known)
    active = sorted(known.cochange.changes)
    for _ in range(rounds if pairs else 0):
        asker, holder, path = rng.choice(pairs)
        others = rng.sample([c for c in fit if c not in (asker, holder)], sessions - 2)
        world = World(known, source.root, [asker, holder, *others], path, rng)
        if not any(map(world.is_free, world.mine)):
            continue  # it has nothing left to do but that one file
        _refused(figures, world, path, active, rng)
        _asks(figures, world, asker, rng)
    return figures


def _known(commit: Commit, known: Knowledge) -> set[str]:
    return {key for path in commit.files if (key := path_key(path)) in known.files}


def _pairs(commits: Sequence[Commit], known: Knowledge) -> list[tuple[Commit, Commit, str]]:
    """Commits that change the same file: sessions that would have met there."""
    by_key: dict[str, list[Commit]] = {}
    for commit in commits:
        for key in _known(commit, known):
            by_key.setdefault(key, []).append(commit)
    return [
        (one, other, known.files[key])
        for key, some in sorted(by_key.items())
        for one in some
        for other in some
        if one is not other
    ]


def _refused(
    figures: Figures, world: World, path: str, active: Sequence[str], rng: random.Random
) -> None:
    counts, mine = figures.counts, world.mine
    counts["refused"] += 1
    known = world.known
    near = [path_key(one.path) for one in related(known, known.areas, path)]
    if near:
        counts["unchecked"] += 1
        counts["taken"] += bool(world.held.get(near[0]))
        counts["blind"] += len(near)
        counts["blind collides"] += world.meets(near)
    if free := [key for key in near if world.is_free(key)]:
        counts["related"] += 1
        key = rng.choice(free)
        _judge(counts, world, key, key in mine, "related ")
    found = _instead(world).find(_request(world, path), path)
    if found is not None:
        key, how = path_key(found.path), found.how.value.replace("area", "area of it")
        counts["suggested"] += 1
        counts["free"] += world.is_free(key)
        counts[how] += 1
        counts[f"{how} useful"] += key in mine
        _judge(counts, world, key, key in mine, "")
    key = rng.choice([key for key in active if world.is_free(key)])
    counts["chance"] += 1
    _judge(counts, world, key, key in mine, "chance ")


def _judge(counts: Counter[str], world: World, key: str, useful: bool, lead: str) -> None:  # noqa: FBT001
    collides = world.will_be_wanted(key)
    counts[f"{lead}useful"] += useful
    counts[f"{lead}collides"] += collides
    counts[f"{lead}good"] += useful and not collides


def _asks(figures: Figures, world: World, asker: Commit, rng: random.Random) -> None:
    """A new session asks what to do: areas alone, so that there is something to compare with."""
    counts, known = figures.counts, world.known
    others = others_of(ASKER, (), world.neighbourhood.locks)
    possible = [w for w in works(known, known.areas, (), (), asker.subject) if w.kind == "area"]
    best = ranked(possible, others, known, asker.subject)
    if not best:
        return
    counts["area"] += 1
    for lead, work in (("area", best[0].work), ("area chance", rng.choice(possible))):
        counts[f"{lead} fits"] += bool(work.files & world.mine)
        counts[f"{lead} collides"] += rng.random() < world.risk(work.files)


def _instead(world: World) -> Instead:
    knowing = SimpleNamespace(
        at_once=lambda _tree: world.known, areas=lambda _tree: world.known.areas
    )
    return Instead(
        neighbours=cast("Any", SimpleNamespace(of=lambda _project: world.neighbourhood)),
        held=world.own,
        knowing=cast("Any", knowing),
        clock=CLOCK,
    )


def _request(world: World, path: str) -> Request:
    worktree = Worktree(world.root, PROJECT, shared=True, named_by=NamedBy.ORIGIN)
    file = FileIdentity(PROJECT, path, path_key(path), worktree)
    coordination = SimpleNamespace(scope="repository", claim_timeout=20.0)
    settings = cast("Any", SimpleNamespace(session_coordination=coordination))
    session = LocalSession(ASKER, "bench", None, str(world.root))
    return Request(session, AgentId(""), PROJECT, (file,), settings, "", "block")


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """Figures down, repositories across."""
    table = Table("", *(row["repository"] for row in rows))
    for name in (name for name in rows[0] if name not in ("repository", "by")):
        cells = (row[name] for row in rows)
        table.add_row(name, *(f"{c:.0%}" if isinstance(c, float) else str(c) for c in cells))
    for how in _HOWS:
        table.add_row(f"useful, by {how}", *(f"{row['by'].get(how, 0):.0%}" for row in rows))
    Console(width=160).print(table)


def main() -> int:
    """Measure every repository that is named; 1 where chance would do as well."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("repositories", nargs="*", type=Path)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        sources = {"generated": generated(Path(scratch) / "made", given.seed)}
        for path in given.repositories:
            resolved = path.resolve()
            sources[resolved.parent.name if resolved.name == "repo" else resolved.name] = resolved
        for name, source in sources.items():
            past = replay(name, source, Path(scratch) / f"{name}.replay", SHARE, LATEST)
            rng = random.Random(given.seed)
            rows.append(measure(past, given.sessions, given.rounds, rng).row())
    print(json.dumps(rows, indent=2)) if given.json else _show(rows)
    return 0 if all(map(_is_good, rows)) else 1


def _is_good(row: dict[str, Any]) -> bool:
    """Whether following what is suggested is right, and better than chance."""
    return bool(
        row["suggested"]
        and row["free"] == 1.0
        and row["useful"] > row["useful by chance"]
        and row["good"] > max(row["good, any related"], row["good by chance"])
        and row["area collides"] <= row["area collides by chance"]
    )


if __name__ == "__main__":
    sys.exit(main())
