"""What a worktree's project is called, and when that is asked again."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scoord import paths
from scoord.errors import DeadlineExceeded, InvalidConfig
from scoord.ids import MachineId
from scoord.paths import RECHECK_S, FileIdentity, Locator, NamedBy, Worktree
from scoord_agent.listener import ANSWER_WITHIN_S
from support.clock import FakeClock
from support.repositories import NAME, clone, git, repository, worktree


def same(file: FileIdentity | None) -> tuple[str, str]:
    assert file
    return file.project, file.key


def located(locator: Locator, root: Path) -> Worktree:
    found = locator.worktree_of(str(root))
    assert found
    return found


# What the project is called.


def test_the_settings_name_the_project_before_the_origin(locator: Locator, repo: Path) -> None:
    (repo / "coordination.yaml").write_text("project: our team's app\n")

    found = locator.worktree_of(str(repo / "src"))

    assert found
    assert (found.project, found.named_by) == ("our team's app", NamedBy.CONFIG)
    assert found.shared


def test_the_origin_names_the_project(locator: Locator, repo: Path) -> None:
    found = locator.worktree_of(str(repo))

    assert found
    assert (found.root, found.project, found.named_by) == (repo, NAME, NamedBy.ORIGIN)
    assert found.shared


def test_without_an_origin_the_root_commit_names_the_project(
    locator: Locator, tmp_path: Path
) -> None:
    local = repository(tmp_path / "local")
    root = git(local, "rev-parse", "HEAD")
    git(local, "commit", "-q", "--allow-empty", "-m", "second")

    found = locator.worktree_of(str(local))

    assert found
    assert (found.project, found.named_by, found.shared) == (
        f"root:{root}",
        NamedBy.ROOT_COMMIT,
        True,
    )


def test_without_a_commit_the_place_names_the_project(locator: Locator, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    found = locator.worktree_of(str(tmp_path))

    assert found
    assert (found.project, found.named_by) == (f"machine:m1{str(tmp_path).lower()}", NamedBy.PATH)
    assert not found.shared


def test_two_clones_of_a_repository_on_this_machine_are_one_project(
    locator: Locator, tmp_path: Path
) -> None:
    local = repository(tmp_path / "local")
    bare = clone(local, tmp_path / "bare.git", "--bare")
    roots = [local, clone(bare, tmp_path / "one"), clone(bare, tmp_path / "two")]

    assert len({same(locator.locate("src/a.py", str(root))) for root in roots}) == 1


def test_a_clone_of_a_clone_has_the_name_of_the_first(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    second = clone(repo, tmp_path / "second")
    third = clone(second, tmp_path / "third")
    git(third, "remote", "set-url", "origin", "../second")

    found = locator.worktree_of(str(third))

    assert found
    assert found.project == NAME


def test_a_relative_origin_is_where_the_main_worktree_says_from_every_worktree(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    main = clone(repo, tmp_path / "main")
    git(main, "remote", "set-url", "origin", "../repo")
    deeper = worktree(main, tmp_path / "worktrees" / "feature", "feature")

    assert located(locator, deeper).project == NAME


def test_clones_of_a_part_of_a_local_repository_have_its_name(
    locator: Locator, tmp_path: Path
) -> None:
    local = repository(tmp_path / "local")
    git(local, "checkout", "-q", "--orphan", "older")
    git(local, "commit", "-q", "-m", "pages", at=1_600_000_000)
    oldest = git(local, "rev-parse", "HEAD")
    git(local, "checkout", "-q", "main")
    url, parts = f"file://{local}", ("--single-branch", "--depth=1")
    for part in parts:
        git(local, "clone", "-q", "-b", "main", part, url, str(tmp_path / part))
    roots = (local, clone(local, tmp_path / "all"), *(tmp_path / part for part in parts))

    found = {located(locator, root).project for root in roots}

    assert found == {f"root:{oldest}"}


def test_a_clone_whose_source_is_gone_has_its_own_root_commit(
    locator: Locator, tmp_path: Path
) -> None:
    two = clone(repository(tmp_path / "one"), tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "elsewhere")

    assert located(locator, two).project == f"root:{git(two, 'rev-parse', 'HEAD')}"


def test_a_repository_around_the_origin_is_not_the_origin(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other", str(repo / "src"))

    assert located(locator, other).named_by is NamedBy.ROOT_COMMIT


def test_clones_of_an_empty_repository_meet_before_and_after_the_first_push(
    locator: Locator, tmp_path: Path, clock: FakeClock
) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "hub.git")
    one, two = (clone(tmp_path / "hub.git", tmp_path / name) for name in ("one", "two"))
    assert located(locator, one).project == located(locator, two).project
    git(one, "commit", "-q", "--allow-empty", "-m", "first")
    git(one, "push", "-q", "origin", "HEAD:main")
    clock.advance(RECHECK_S)

    for root in (one, two):
        assert located(locator, root).project == f"root:{git(one, 'rev-parse', 'HEAD')}"


def test_two_origins_that_name_each_other_end_in_the_root_commit(
    locator: Locator, tmp_path: Path
) -> None:
    one = repository(tmp_path / "one")
    two = clone(one, tmp_path / "two")
    git(one, "remote", "add", "origin", str(two))

    found = locator.worktree_of(str(one))

    assert found
    assert found.named_by is NamedBy.ROOT_COMMIT


def test_a_worktree_on_an_orphan_branch_has_the_name_of_the_others(
    locator: Locator, tmp_path: Path
) -> None:
    local = repository(tmp_path / "local")
    pages = worktree(local, tmp_path / "pages", "pages-start")
    git(pages, "checkout", "-q", "--orphan", "gh-pages")
    git(pages, "commit", "-q", "-m", "pages", at=1_800_000_000)
    git(local, "notes", "add", "-m", "a note has a root of its own", at=1_600_000_000)

    one = locator.worktree_of(str(local))
    other = locator.worktree_of(str(pages))
    assert one
    assert other
    assert one.project == other.project
    assert one.project == f"root:{git(local, 'rev-parse', 'main')}"


def test_a_shallow_clone_cannot_know_the_root_commit(locator: Locator, tmp_path: Path) -> None:
    local = repository(tmp_path / "local")
    git(local, "commit", "-q", "--allow-empty", "-m", "second")
    shallow = tmp_path / "shallow"
    git(local, "clone", "-q", "--depth", "1", f"file://{local}", str(shallow))
    git(shallow, "remote", "remove", "origin")

    found = locator.worktree_of(str(shallow))

    assert found
    assert not found.shared


def test_worktrees_on_branches_without_the_file_have_the_main_worktrees_name(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    linked = worktree(repo, tmp_path / "linked", "feature")
    (repo / "coordination.yaml").write_text("project: ours\n")

    found = locator.worktree_of(str(linked))

    assert found
    assert found.project == "ours"


def test_worktrees_of_a_bare_repository_are_one_project(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    bare = clone(repo, tmp_path / "bare.git", "--bare")
    linked = [worktree(bare, tmp_path / name, name) for name in ("one", "two")]

    assert len({same(locator.locate("src/a.py", str(root))) for root in linked}) == 1


def test_worktrees_of_a_submodule_have_the_name_that_its_main_worktree_says(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    around = repository(tmp_path / "around")
    git(around, "submodule", "add", "-q", str(repo), "library")
    linked = worktree(around / "library", tmp_path / "linked", "feature")
    (around / "library" / "coordination.yaml").write_text("project: ours\n")

    assert located(locator, linked).project == "ours"

    # Settings that were copied, and name another's worktree.
    (repo / "coordination.yaml").write_text("project: theirs\n")
    git(around / ".git" / "modules" / "library", "config", "core.worktree", str(repo))
    assert located(Locator(MachineId("m1")), linked).project == NAME


def test_of_a_repository_put_elsewhere_its_settings_may_tell_the_main_worktree(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    (repo / ".git").rename(tmp_path / "moved")
    (repo / ".git").symlink_to(tmp_path / "moved")
    (repo / "coordination.yaml").write_text("project: ours\n")
    linked = worktree(repo, tmp_path / "linked", "feature")
    git(repo, "config", "core.worktree", str(repo))

    assert {located(locator, root).project for root in (repo, linked)} == {"ours"}


def test_worktrees_that_only_a_place_can_name_are_one_project(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    kinds = {"plain": (), "bare": ("--bare",), "apart": (f"--separate-git-dir={tmp_path}/git",)}
    for kind, options in kinds.items():
        shallow = tmp_path / kind
        git(repo, "clone", "-q", "--depth=1", *options, f"file://{repo}", str(shallow))
        git(shallow, "remote", "remove", "origin")
    (tmp_path / "plain" / ".git").rename(tmp_path / "moved")
    (tmp_path / "plain" / ".git").symlink_to(tmp_path / "moved")
    for kind in kinds:
        roots = [worktree(tmp_path / kind, tmp_path / f"{kind}-{n}", f"b{n}") for n in "12"]
        roots += [] if kind == "bare" else [tmp_path / kind]
        (project,) = {located(locator, root).project for root in roots}
        assert project.startswith("machine:m1/")


def test_git_rewrites_the_origin_as_its_user_says(
    locator: Locator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file = tmp_path / "gitconfig"
    settings_file.write_text('[url "git@github.com:"]\n  insteadOf = gh:\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings_file))
    short = repository(tmp_path / "short", "gh:org/name")

    assert same(locator.locate("src/a.py", str(short))) == (NAME, "src/a.py")


def test_variables_that_point_git_elsewhere_are_not_followed(
    locator: Locator, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other", "https://example.com/other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    assert same(locator.locate("src/a.py", str(repo))) == (NAME, "src/a.py")


# What is asked again, and what is not.


def test_after_the_first_look_git_is_not_started(
    locator: Locator, repo: Path, clock: FakeClock, no_git: Callable[[], None]
) -> None:
    first = locator.locate("src/a.py", str(repo))
    no_git()
    clock.advance(10 * RECHECK_S)

    assert first == locator.locate("src/a.py", str(repo))
    assert same(locator.locate("lib/b.py", str(repo))) == (NAME, "lib/b.py")


def test_where_git_is_needed_nothing_is_located_at_once(
    locator: Locator, repo: Path, clock: FakeClock
) -> None:
    assert locator.locate_at_once("src/a.py", str(repo)) is None
    located = locator.locate("src/a.py", str(repo))
    assert located == locator.locate_at_once("src/a.py", str(repo))

    git(repo, "remote", "set-url", "origin", "https://example.com/moved")
    clock.advance(RECHECK_S)
    assert locator.locate_at_once("src/a.py", str(repo)) is None
    locator.locate("lib/b.py", str(repo))
    assert same(locator.locate_at_once("src/a.py", str(repo))) == ("example.com/moved", "src/a.py")


def test_what_is_in_no_repository_is_located_at_once(locator: Locator, tmp_path: Path) -> None:
    assert locator.locate_at_once("a.py", str(tmp_path)) is not None


def test_git_that_is_slow_is_given_up_before_a_hook_is_and_names_nothing(
    locator: Locator, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 0.9\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o700)
    git(repo, "remote", "remove", "origin")  # so that git is asked three times
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    begun = time.monotonic()

    with pytest.raises(DeadlineExceeded, match=r"git took over .* set `project:`"):
        locator.locate("src/a.py", str(repo))
    assert time.monotonic() - begun < ANSWER_WITHIN_S


def test_of_many_worktrees_the_latest_are_remembered(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_MOST_WORKTREES", 2)
    locator = Locator(MachineId("m1"), clock)
    roots = [repository(tmp_path / name, f"https://example.com/{name}") for name in "abc"]
    for root in roots:
        locator.locate("a.py", str(root))
        locator.head(located(locator, root))

    assert [str(root) for root in roots[1:]] == list(locator._names)
    assert roots[1:] == list(locator._heads)


def test_a_changed_origin_is_seen(locator: Locator, repo: Path, clock: FakeClock) -> None:
    locator.locate("src/a.py", str(repo))
    git(repo, "remote", "set-url", "origin", "https://example.com/moved")
    clock.advance(RECHECK_S)

    assert same(locator.locate("src/a.py", str(repo))) == ("example.com/moved", "src/a.py")


def test_a_changed_name_is_seen(locator: Locator, repo: Path, clock: FakeClock) -> None:
    locator.locate("src/a.py", str(repo))
    (repo / "coordination.yaml").write_text("project: ours\n")
    clock.advance(RECHECK_S)

    assert same(locator.locate("src/a.py", str(repo))) == ("ours", "src/a.py")


def test_a_first_commit_is_seen(locator: Locator, tmp_path: Path, clock: FakeClock) -> None:
    git(tmp_path, "init", "-q")
    locator.locate("a.py", str(tmp_path))
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    clock.advance(RECHECK_S)

    assert (
        f"root:{git(tmp_path, 'rev-parse', 'HEAD')}" == locator.locate("a", str(tmp_path)).project
    )


def test_a_new_repository_is_seen(locator: Locator, tmp_path: Path, clock: FakeClock) -> None:
    assert locator.worktree_of(str(tmp_path)) is None
    git(tmp_path, "init", "-q")
    clock.advance(RECHECK_S)

    assert locator.worktree_of(str(tmp_path))


def test_a_link_that_points_elsewhere_is_followed_at_once(locator: Locator, repo: Path) -> None:
    (repo / "link.py").symlink_to("src/a.py")
    before = locator.locate("link.py", str(repo))
    (repo / "link.py").unlink()
    (repo / "link.py").symlink_to("src/b.py")

    assert (before.key, locator.locate("link.py", str(repo)).key) == ("src/a.py", "src/b.py")


def test_settings_that_break_while_in_use_leave_the_project_its_name(
    locator: Locator, repo: Path, clock: FakeClock
) -> None:
    (repo / "coordination.yaml").write_text("project: ours\n")
    locator.locate("src/a.py", str(repo))
    (repo / "coordination.yaml").write_text("project: [ours\n")
    clock.advance(RECHECK_S)

    assert same(locator.locate("src/a.py", str(repo))) == ("ours", "src/a.py")


def test_settings_that_were_never_read_are_asked_for(locator: Locator, repo: Path) -> None:
    (repo / "coordination.yaml").write_text("project: [ours\n")

    with pytest.raises(InvalidConfig, match=r"coordination\.yaml:2:1: not YAML"):
        locator.locate("src/a.py", str(repo))


def test_a_failure_is_remembered_for_a_moment_and_then_asked_about_again(
    locator: Locator, repo: Path, clock: FakeClock
) -> None:
    file = repo / "coordination.yaml"
    file.write_text("project: [ours\n")
    for _ in range(2):
        with pytest.raises(InvalidConfig):
            locator.locate("src/a.py", str(repo))
    file.write_text("project: ours\n")
    clock.advance(RECHECK_S)

    assert same(locator.locate("src/a.py", str(repo))) == ("ours", "src/a.py")
