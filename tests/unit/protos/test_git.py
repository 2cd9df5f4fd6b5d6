"""Branch and commit, from the files of a repository."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from scoord.errors import InvalidPath
from scoord.git import (
    UNBORN,
    branch,
    changed,
    commit,
    commits_since,
    files,
    files_of,
    patience,
    touched,
)
from scoord.paths import Head, Locator
from support.repositories import git, worktree


def test_a_branch_and_its_commit_are_read_without_git(
    locator: Locator, repo: Path, tmp_path: Path, no_git: Callable[[], None]
) -> None:
    linked = worktree(repo, tmp_path / "linked", "feature/login")
    git(linked, "commit", "-q", "--allow-empty", "-m", "second")
    head = git(linked, "rev-parse", "HEAD")
    found = locator.worktree_of(str(linked))
    no_git()

    assert found
    assert locator.head(found) == Head("feature/login", head)


def test_a_packed_ref_is_read(locator: Locator, repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "branch", "main-2")
    git(repo, "tag", "-a", "-m", "annotated", "v1")
    git(repo, "pack-refs", "--all")
    found = locator.worktree_of(str(repo))

    assert found
    assert head == locator.head(found).commit


def test_a_detached_head_has_a_commit_and_no_branch(locator: Locator, repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "--detach")
    found = locator.worktree_of(str(repo))

    assert found
    assert locator.head(found) == Head("", head)


def test_a_head_that_stands_for_a_reftable_is_no_branch(locator: Locator, repo: Path) -> None:
    found = locator.worktree_of(str(repo))
    (repo / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")

    assert found
    assert locator.head(found) == Head("", "")


def test_before_the_first_commit_there_is_a_branch_and_no_commit(
    locator: Locator, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    found = locator.worktree_of(str(tmp_path))

    assert found
    assert locator.head(found) == Head("trunk", UNBORN)


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_repositorys_first_commits_are_made_since_there_was_none(
    tmp_path: Path, form: str
) -> None:
    git(tmp_path, "init", "-q", f"--object-format={form}")
    git(tmp_path, "config", "log.showRoot", "false")
    (tmp_path / "a.py").touch()
    git(tmp_path, "add", ".")
    made = list[str]()
    for n in range(2):
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"commit {n}")
        made.insert(0, git(tmp_path, "rev-parse", "HEAD"))

    assert made == commits_since(str(tmp_path), UNBORN)
    assert ["a.py"] == files_of(str(tmp_path), made, patience())[made[-1]]


def test_what_cannot_be_seen_for_a_moment_is_no_beginning(repo: Path) -> None:
    git(repo, "symbolic-ref", "HEAD", "refs/heads/renamed")

    assert "" == commit(str(repo))


def test_a_head_that_points_out_of_the_repository_is_not_followed(
    locator: Locator, repo: Path
) -> None:
    (repo / ".git" / "secret").write_text("a" * 40 + "\n")
    found = locator.worktree_of(str(repo))
    (repo / ".git" / "HEAD").write_text("ref: refs/../secret\n")

    assert found
    assert locator.head(found).commit == ""


def test_a_worktree_that_is_gone_has_no_branch_and_no_commit(locator: Locator, repo: Path) -> None:
    found = locator.worktree_of(str(repo))
    shutil.rmtree(repo)

    assert found
    assert locator.head(found) == Head("", "")


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("HEAD", b"ref: refs/heads/ma\0in\n"),
        ("HEAD", None),
        ("commondir", b"x\0y\n"),
        ("commondir", None),
        ("refs/heads/main", b"\0"),
        ("refs/heads/main", None),
        ("packed-refs", None),
        ("logs/HEAD", None),
    ],
)
def test_what_is_damaged_in_a_repository_is_not_known_and_not_waited_for(
    repo: Path, file: str, written: bytes | None
) -> None:
    """None is a pipe, at which nobody writes."""
    damaged = repo / ".git" / file
    (repo / ".git" / "refs/heads/main").unlink()
    damaged.unlink(missing_ok=True)
    damaged.write_bytes(written) if written else os.mkfifo(damaged)

    assert "" == commit(str(repo))
    assert branch(str(repo)) in ("", "ma", "main")
    assert [] == commits_since(str(repo), "1" * 40)


@pytest.mark.parametrize("target", [b"loop", b"loop/on", b"a\0b", b"", b"x" * 3000])
def test_a_worktree_of_a_repository_that_cannot_be_is_refused(
    locator: Locator, tmp_path: Path, target: bytes
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / ".git").write_bytes(b"gitdir: " + target + b"\n")

    assert ("", "") == (branch(str(tmp_path)), commit(str(tmp_path)))
    with pytest.raises(InvalidPath, match="names a repository that is not there"):
        locator.locate("a.py", str(tmp_path))


def test_what_differs_from_the_commit_is_told(repo: Path) -> None:
    for name in ("A.py", "same.py", "staged.py", "gone.py"):
        (repo / name).write_text("1\n", encoding="utf-8")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "second")
    (repo / "A.py").write_text("2\n", encoding="utf-8")
    (repo / "staged.py").write_text("2\n", encoding="utf-8")
    git(repo, "add", "staged.py")
    (repo / "gone.py").unlink()
    (repo / "new").mkdir()
    (repo / "new" / "one.py").touch()

    asked = ["a.py", "same.py", "staged.py", "gone.py", "new/one.py", "never.py"]
    told = changed(str(repo), asked, patience())

    assert ["A.py", "gone.py", "new/one.py", "staged.py"] == sorted(told)


def test_a_changed_file_is_found_however_its_accent_is_written(repo: Path) -> None:
    decomposed = "cafe\u0301.py"
    (repo / decomposed).touch()

    told = changed(str(repo), ["caf\u00e9.py"], patience())

    assert decomposed in told


def test_a_name_with_stars_is_no_pattern_there(repo: Path) -> None:
    (repo / "x.py").touch()

    assert [] == changed(str(repo), ["*.py"], patience())


def test_commits_are_told_from_what_else_moves_the_head(repo: Path) -> None:
    begin = git(repo, "rev-parse", "HEAD")
    for n in range(2):
        git(repo, "commit", "-q", "--allow-empty", "-m", f"change {n}")
    git(repo, "commit", "-q", "--allow-empty", "--amend", "-m", "changed")
    git(repo, "checkout", "-q", "-b", "other")
    git(repo, "reset", "-q", "--hard", "HEAD~1")
    git(repo, "merge", "-q", "--ff-only", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "commit: the third")

    third = git(repo, "rev-parse", "HEAD")
    made = commits_since(str(repo), begin)
    assert 3 == len(made)
    assert third == made[0], "the latest first"
    assert [] == commits_since(str(repo), third)


def test_commits_that_nobody_wrote_down_are_none(repo: Path, tmp_path: Path) -> None:
    begin = git(repo, "rev-parse", "HEAD")
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    assert [] == commits_since(str(repo), "1" * 40)

    (repo / ".git/logs/HEAD").unlink()
    assert [] == commits_since(str(repo), begin)
    assert [] == commits_since(str(tmp_path), begin)


def test_files_are_those_that_git_knows(repo: Path) -> None:
    (repo / "new é.py").write_text("")
    git(repo, "add", ".")
    (repo / "unknown.py").write_text("")

    assert ["new é.py", "src/a.py"] == files(str(repo), patience())


def test_commits_tell_what_they_touched_latest_first(repo: Path) -> None:
    for name in ("b.py", "c d.py"):
        (repo / name).write_text("1\n")
        (repo / "src" / "a.py").write_text(f"{name}\n")
        git(repo, "add", ".")
        git(repo, "commit", "-q", "-m", f"a\nmessage \x02 of {name}")

    assert [["c d.py", "src/a.py"], ["b.py", "src/a.py"]] == touched(str(repo), 2, patience())


def test_a_slow_git_is_not_waited_for(repo: Path, tmp_path: Path) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o700)
    with patch.dict(os.environ, {"PATH": f"{tmp_path}:{os.environ['PATH']}"}):
        begun = time.monotonic()
        assert [] == files(str(repo), begun + 0.2)

    assert time.monotonic() - begun < 5.0


def test_the_files_of_a_commit_are_told_apart(repo: Path) -> None:
    made = []
    for name in ("a b.py", "ü.py"):
        (repo / name).write_text("1\n", encoding="utf-8")
        git(repo, "add", ".")
        git(repo, "commit", "-q", "-m", name)
        made.append(git(repo, "rev-parse", "HEAD"))
    git(repo, "commit", "-q", "--allow-empty", "-m", "nothing")
    made.append(git(repo, "rev-parse", "HEAD"))

    told = files_of(str(repo), made, patience())

    assert [["a b.py"], ["ü.py"], []] == [told[commit] for commit in made]
    assert {} == files_of(str(repo), ["1" * 40], patience())
