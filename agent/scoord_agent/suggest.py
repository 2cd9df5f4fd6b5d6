"""What to do instead of a file that is taken: a file that belongs to it, and is free.

Where nothing is known of the repository yet, the usual habits of naming stand in.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from scoord.clock import Clock
from scoord.names import path_key
from scoord.typed import as_typed
from scoord_agent import wording_work
from scoord_agent.held import HeldLocks
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.knowledge.related import Hands, How, Related, related
from scoord_agent.neighbours import Neighbours
from scoord_agent.request import Request

MOST_TRIED = 24
"""Files looked at for one suggestion: each costs a look at the disk."""

_MOST_NAMED = 200
"""Characters of a command; a longer one is not repeated, and never cut."""


class Instead:
    """Finds what is free beside what is taken. It asks nobody: no hook waits for it."""

    def __init__(
        self, *, neighbours: Neighbours, held: HeldLocks, knowing: Knowing, clock: Clock
    ) -> None:
        self._neighbours = neighbours
        self._held = held
        self._knowing = knowing
        self._clock = clock

    def of(self, request: Request, shown: str) -> str:
        """One line on what ``request`` may do instead of the file at ``shown``."""
        found = self.find(request, shown)
        return wording_work.instead(found) if found else wording_work.ELSEWHERE

    def find(self, request: Request, shown: str) -> Related | None:
        """The nearest file that belongs to the one at ``shown`` and is free for ``request``.

        None belongs to a pattern: what is near it lies in it.
        """
        if request.is_pattern:
            return None
        return first_free(self._candidates(request, shown), lambda p: self._is_free(request, p))

    def _candidates(self, request: Request, shown: str) -> Iterator[Related]:
        worktree = request.files[0].worktree
        knowledge = self._knowing.at_once(worktree) if worktree else None
        areas = self._knowing.areas(worktree) if worktree else None
        if knowledge is not None and areas is not None:
            yield from related(knowledge, areas, shown, self._hands(request, shown))
        else:
            yield from (Related(path, How.NAMING) for path in counterparts(shown))

    def _hands(self, request: Request, shown: str) -> Hands:
        """What the asker holds, and what those hold who have the file."""
        session, paths = request.session.session_id, self._neighbours.of(request.project).paths
        holders = {k.holder.session_id for k in paths.get(path_key(shown), {}).values()} - {session}
        theirs = [
            key
            for key, locks in (paths.items() if holders else ())
            if any(lock.holder.session_id in holders for lock in locks.values())
        ]
        return Hands([lock.key for lock in self._held.of(session)], theirs)

    def _is_free(self, request: Request, shown: str) -> bool:
        """Whether it is there, and nobody has it, is next to have it, or was offered it.

        What the asker has by itself is nothing to go on with instead, and others may wait
        for it. Nothing is free while the stream is silent: what others have taken since is
        not known.
        """
        worktree, key = request.files[0].worktree, path_key(shown)
        if key in request.keys or worktree is None or not (worktree.root / shown).is_file():
            return False
        who, here = request.claimant, self._held.at(request.project, key)
        if any(lock.session == who.session for lock in here):
            return False
        neighbourhood, now = self._neighbours.of(request.project), self._clock.now()
        if not neighbourhood.is_heard(now):
            return False
        if neighbourhood.in_the_way(who, key) or any(k.claimant.excludes(who) for k in here):
            return False
        claim_s = request.settings.session_coordination.claim_timeout
        kept = neighbourhood.set_aside
        return not (
            kept.turn_of_other(key, who.session, now, claim_s)
            or kept.offered_to_other("file", shown, who.session)
        )


def first_free(found: Iterator[Related], is_free: Callable[[str], bool]) -> Related | None:
    """The nearest of ``found`` that is free; looks at ``MOST_TRIED`` at most."""
    return next((one for one in islice(found, MOST_TRIED) if is_free(one.path)), None)


def wait_for(paths: Sequence[str]) -> str:
    """One line for who asked for ``paths`` at a terminal, where nobody is told of a turn."""
    named = as_typed(paths)
    told = named if len(named) <= _MOST_NAMED else "PATH…"
    return (
        f"`scoord wait {told}` takes it as soon as it is free; `scoord locks` shows who has what."
    )


def counterparts(shown: str) -> Iterator[str]:
    """Paths where the test of a source file, or the source of a test, usually is."""
    path = PurePosixPath(shown)
    name = path.stem
    yield from _sources(path, name) if _is_test(name) else _tests(path, name)


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith(("_test", ".test", ".spec"))


def _tests(path: PurePosixPath, name: str) -> Iterator[str]:
    suffix, inside = path.suffix, path.parent
    below_source = PurePosixPath(*inside.parts[1:])
    for folder in ("tests", "test"):
        yield str(PurePosixPath(folder, inside, f"test_{name}{suffix}"))
        yield str(PurePosixPath(folder, below_source, f"test_{name}{suffix}"))
        yield str(PurePosixPath(folder, f"test_{name}{suffix}"))
    for file in (f"test_{name}", f"{name}_test", f"{name}.test", f"{name}.spec"):
        yield str(inside / f"{file}{suffix}")


def _sources(path: PurePosixPath, name: str) -> Iterator[str]:
    bare = name.removeprefix("test_")
    for ending in ("_test", ".test", ".spec"):
        bare = bare.removesuffix(ending)
    file = f"{bare}{path.suffix}"
    parts = path.parent.parts
    below_tests = PurePosixPath(*parts[1:]) if parts and parts[0] in ("tests", "test") else None
    yield str(path.parent / file)
    if below_tests is not None:
        yield str(below_tests / file)
        yield str(PurePosixPath("src") / below_tests / file)
