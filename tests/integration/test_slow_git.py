"""Git is slow where an edit is: by its own settings it is decided all the same, in time."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.machines import Answer, CodingSession, clone, context, refusal, repository
from support.pair import ORIGIN, Pair, pair

ANSWER_S = 2.5
SLOW_S = 0.7
"""Git's answer comes, and leaves less time for the coordinator's."""
NEVER_S = 5.0


@dataclass
class Shop:
    """Alice's session in one repository, while others of hers were never looked at."""

    both: Pair
    directory: Path
    a: CodingSession

    @property
    def _pause(self) -> Path:
        return self.directory / "pause"

    def other(self, action: str, locked: str = "*") -> Path:
        """A repository that says what becomes of edits when nobody can be asked."""
        said = f"unreachable_action: {action}, critical_files: ['{locked}']"
        files = {"coordination.yaml": f"session_coordination: {{{said}}}\n", "b.py": ""}
        return repository(self.directory / action / "other", files, f"{ORIGIN}/other-{action}")

    @contextmanager
    def slow_git(self, seconds: float) -> Iterator[None]:
        """From now on, git takes so long for each question of the agents."""
        self._pause.write_text(str(seconds), encoding="ascii")
        yield
        self._pause.unlink()

    def edit(self, path: Path, session: CodingSession | None = None) -> Answer:
        """The answer to an edit, which came in time."""
        begun = time.monotonic()
        answer = (session or self.a).edit(path)
        assert time.monotonic() - begun < ANSWER_S
        return answer

    def unreported(self) -> str:
        """What Alice's agent has written down."""
        file = self.both.alice.state_dir / "unreported.jsonl"
        return file.read_text(encoding="utf-8") if file.exists() else ""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with pair(tmp_path, PATH=f"{_pausing_git(tmp_path)}:{os.environ['PATH']}") as both:
        home = repository(tmp_path / "work" / "shop", {"auth.py": ""}, f"{ORIGIN}/slow-git")
        a = both.alice.session(home)
        a.start()
        yield Shop(both, tmp_path, a)


def _pausing_git(directory: Path) -> Path:
    program = directory / "bin" / "git"
    program.parent.mkdir()
    pause = directory / "pause"
    program.write_text(
        f'#!/bin/sh\nif [ -e "{pause}" ]; then sleep "$(cat "{pause}")"; fi\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    program.chmod(0o700)
    return program.parent


def test_block_denies_where_git_and_the_coordinator_are_slow(shop: Shop) -> None:
    other = shop.other("block")
    shop.both.coordinator.freeze()
    with shop.slow_git(SLOW_S):
        told = refusal(shop.edit(other / "b.py"))

    assert "b.py: no lock can be taken now, so the edit is refused" in told
    assert "" == shop.unreported()


def test_warn_lets_through_says_so_and_writes_it_down(shop: Shop) -> None:
    other = shop.other("warn")
    shop.both.coordinator.freeze()
    with shop.slow_git(SLOW_S):
        answer = shop.edit(other / "b.py")

    assert "" == refusal(answer)
    assert "b.py: let through without a lock, nobody could be asked" in context(answer)
    assert '"b.py"' in shop.unreported()


def test_a_known_conflict_stays_denied(shop: Shop) -> None:
    again = clone(shop.a.cwd, shop.directory / "again" / "shop", f"{ORIGIN}/slow-git")
    b = shop.both.alice.session(shop.a.cwd)
    b.start()
    assert {} == shop.a.edit("auth.py")
    shop.both.coordinator.freeze()
    with shop.slow_git(SLOW_S):
        told = refusal(shop.edit(again / "auth.py", b))

    assert "auth.py was locked by Session_1" in told


@pytest.mark.parametrize("action", ["block", "warn", "proceed"])
def test_where_git_does_not_answer_the_setting_of_its_repository_counts(
    shop: Shop, action: str
) -> None:
    other = shop.other(action)
    with shop.slow_git(NEVER_S):
        answer = shop.edit(other / "b.py")

    assert ("b.py: no lock can be taken now" in refusal(answer)) == (action == "block")
    assert ("b.py: let through without a lock" in context(answer)) == (action == "warn")
    assert (answer == {}) == (action == "proceed")


def test_an_edit_of_a_file_that_is_not_locked_is_let_through_without_a_word(shop: Shop) -> None:
    other = shop.other("block", locked="*.ts")
    with shop.slow_git(NEVER_S):
        assert {} == shop.edit(other / "b.py")
