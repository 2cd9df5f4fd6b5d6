"""Repositories to replay: a generated one with known modules, and real ones as they were."""

import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scoord.git import touched

MODULES = 12
FILES = 7
COMMITS = 900
GIANT = 20
"""A commit of more files than this is no session's work."""


@dataclass(frozen=True)
class Commit:
    """One commit of the past: its subject, and the files that it changed."""

    subject: str
    files: frozenset[str]


@dataclass(frozen=True)
class Replay:
    """A worktree as it was before the commits that are replayed."""

    name: str
    root: Path
    commit: str
    commits: tuple[Commit, ...]
    """The oldest first."""


def replay(name: str, source: Path, target: Path, share: float, most: int) -> Replay:
    """Clone ``source`` as it was before its latest commits, and take those to be replayed.

    They are ``share`` of all, and ``most`` at most.
    """
    _git(target.parent, "clone", "-q", "--no-checkout", str(source), str(target))
    whole = int(_git(target, "rev-list", "--count", "--no-merges", "HEAD"))
    latest = min(most, int(whole * share))
    order = _git(target, "rev-list", "--no-merges", f"--max-count={latest + 1}", "HEAD").split()
    before = order[-1]
    subjects = _git(target, "log", "--no-merges", f"--max-count={latest}", "--format=%s", "HEAD")
    files = touched(str(target), latest, _FOREVER)
    commits = (
        Commit(subject, frozenset(each))
        for subject, each in zip(subjects.splitlines(), files, strict=False)
    )
    _git(target, "checkout", "-q", before)
    sessions = [commit for commit in commits if 2 <= len(commit.files) <= GIANT]
    return Replay(name, target, before, tuple(reversed(sessions)))


def generated(target: Path, seed: int) -> Path:
    """A repository of ``MODULES`` modules, whose commits stay in one most of the time."""
    rng = random.Random(seed)
    target.mkdir()
    _git(target, "init", "-q", "-b", "main")
    stream = "".join(_stream(rng))
    command = ["git", "-C", str(target), "fast-import", "--quiet"]
    subprocess.run(command, input=stream, text=True, check=True)
    return target


_FOREVER = time.monotonic() + 3600.0


def _stream(rng: random.Random) -> Iterator[str]:
    """The history for ``git fast-import``: all files first, then their changes."""
    files = [path for module in range(MODULES) for path in _files(module)]
    yield _commit(0, "all", {path: _text(path, rng) for path in [*files, "CHANGELOG.md"]})
    for number in range(1, COMMITS):
        module = min(MODULES - 1, int(rng.expovariate(0.25)))
        own = _files(module)
        source = rng.choice(own[: FILES - 1])
        changed = {source}
        if rng.random() < 0.6:
            changed.add(_test_of(source))
        if rng.random() < 0.7:
            # What belongs together in it: each file with its two neighbours.
            at = own.index(source)
            changed |= set(rng.sample(own[max(0, at - 1) : at + 2], k=2))
        if rng.random() < 0.15:
            changed.add(rng.choice(_files(rng.randrange(MODULES))))
        if rng.random() < 0.3:
            changed.add("CHANGELOG.md")
        yield _commit(number, f"m{module} {Path(source).stem}", {p: _text(p, rng) for p in changed})


def _files(module: int) -> list[str]:
    sources = [f"src/app/m{module}/part{module}_{n}.py" for n in range(FILES)]
    return [*sources, *map(_test_of, sources)]


def _test_of(source: str) -> str:
    path = Path(source)
    if path.name.startswith("test_"):
        return source
    return f"tests/{path.parent.name}/test_{path.name}"


def _text(path: str, rng: random.Random) -> str:
    stem = Path(path).stem
    if not stem.startswith("part"):
        return f"# {rng.random()}\n"
    module, _, number = stem.removeprefix("part").partition("_")
    following = (int(number) + 1) % FILES
    return f"from app.m{module} import part{module}_{following}  # {rng.random()}\n"


def _commit(number: int, subject: str, files: dict[str, str]) -> str:
    head = f"commit refs/heads/main\ncommitter a <a@b> {1_700_000_000 + number} +0000\n"
    body = f"data {len(subject)}\n{subject}\n"
    puts = "".join(f"M 100644 inline {p}\ndata {len(text)}\n{text}\n" for p, text in files.items())
    return head + body + puts


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout
