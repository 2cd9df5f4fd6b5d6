"""Two edits are of the same file, or they are not: through two agents and a coordinator."""

import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.machines import CodingSession, Machine, clone, git, refusal, repository
from support.pair import ORIGIN, Clones, Pair, clones, pair

COMPOSED = unicodedata.normalize("NFC", "café.py")
DECOMPOSED = unicodedata.normalize("NFD", "café.py")
FILES = {"auth.py": "", "src/cart.py": "", COMPOSED: ""}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def started(machine: Machine, cwd: Path) -> CodingSession:
    session = machine.session(cwd)
    session.start()
    return session


def meet(one: CodingSession, first: Path | str, other: CodingSession, second: Path | str) -> bool:
    """Whether ``other`` is refused ``second`` because ``one`` has taken ``first``."""
    assert "" == refusal(one.edit(first))
    return "is locked by" in refusal(other.edit(second))


# -- one file ----------------------------------------------------------------------------


def through_a_linked_file(root: Path) -> str:
    (root / "link.py").symlink_to("auth.py")
    return "link.py"


def through_a_linked_folder(root: Path) -> str:
    (root / "folder").symlink_to(root, target_is_directory=True)
    return "folder/auth.py"


def through_a_linked_root(root: Path) -> str:
    link = root.parent / "another-name"
    link.symlink_to(root, target_is_directory=True)
    return str(link / "auth.py")


WAYS: dict[str, Callable[[Path], str]] = {
    "as it is": lambda root: "auth.py",
    "absolute": lambda root: str(root / "auth.py"),
    "dot": lambda root: "./auth.py",
    "dot dot": lambda root: "src/../auth.py",
    "dot dot of a folder that is not there": lambda root: "nowhere/../auth.py",
    "up and down": lambda root: f"../{root.name}/auth.py",
    "slashes": lambda root: f"{root}//.///auth.py",
    "other case": lambda root: "AUTH.py",
    "linked file": through_a_linked_file,
    "linked folder": through_a_linked_folder,
    "linked root": through_a_linked_root,
}


@pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
def test_every_spelling_of_a_file_is_one_file_on_two_machines(
    both: Pair, shop: Clones, way: Callable[[Path], str]
) -> None:
    a, b = started(both.alice, shop.alices), started(both.bob, shop.bobs)

    assert meet(a, way(shop.alices), b, "auth.py")


def test_a_composed_and_a_decomposed_name_are_one_file(both: Pair, shop: Clones) -> None:
    a, b = started(both.alice, shop.alices), started(both.bob, shop.bobs)

    assert meet(a, COMPOSED, b, DECOMPOSED)


def test_a_path_starts_where_the_session_stands_now(both: Pair, shop: Clones) -> None:
    a, b = started(both.alice, shop.alices), started(both.bob, shop.bobs)
    assert "" == refusal(a.edit("cart.py", cwd=str(shop.alices / "src")))

    assert refusal(b.edit("src/cart.py"))
    assert "" == refusal(b.edit("cart.py"))


def test_two_worktrees_of_one_clone_are_one_project(both: Pair, shop: Clones) -> None:
    git(shop.alices, "worktree", "add", "-q", "-b", "feature", "../feature")
    a = started(both.alice, shop.alices)
    beside = started(both.alice, shop.alices.parent / "feature")
    b = started(both.bob, shop.bobs)

    assert meet(a, "auth.py", beside, "auth.py")
    assert meet(beside, "src/cart.py", b, "src/cart.py")


def test_urls_of_one_repository_are_one_project(both: Pair, tmp_path: Path) -> None:
    alices = repository(tmp_path / "a", FILES, "git@Git.Example.org:Team/urls.git")
    bobs = clone(alices, tmp_path / "b", "https://bob:secret@git.example.org:443/team/urls")

    assert meet(started(both.alice, alices), "auth.py", started(both.bob, bobs), "auth.py")


def test_a_name_in_the_settings_is_stronger_than_an_origin(both: Pair, tmp_path: Path) -> None:
    named = {"coordination.yaml": "project: the-shop\n", **FILES}
    alices = repository(tmp_path / "a", named, f"{ORIGIN}/here")
    bobs = repository(tmp_path / "b", named, f"{ORIGIN}/there")

    assert meet(started(both.alice, alices), "auth.py", started(both.bob, bobs), "auth.py")
    assert "the-shop" == both.bob.status(bobs)["project"]["id"]


def test_clones_without_a_remote_are_one_project_by_their_root_commit(
    both: Pair, tmp_path: Path
) -> None:
    alices = repository(tmp_path / "a", {"mine.py": str(tmp_path)})
    bobs = clone(alices, tmp_path / "b", "")
    git(bobs, "remote", "remove", "origin")

    assert meet(started(both.alice, alices), "mine.py", started(both.bob, bobs), "mine.py")
    assert both.bob.status(bobs)["project"]["shared"]


# -- different files ---------------------------------------------------------------------


def test_two_repositories_never_meet(both: Pair, tmp_path: Path) -> None:
    one = repository(tmp_path / "one", FILES, f"{ORIGIN}/one")
    two = repository(tmp_path / "two", FILES, f"{ORIGIN}/two")
    a, b = started(both.alice, one), started(both.alice, two)

    assert not meet(a, "auth.py", b, "auth.py")


def test_a_submodule_is_a_project_of_its_own(both: Pair, tmp_path: Path, shop: Clones) -> None:
    library = repository(tmp_path / "library", {"auth.py": "# library"}, f"{ORIGIN}/library")
    allow = ("-c", "protocol.file.allow=always")
    git(shop.alices, *allow, "submodule", "add", "-q", str(library), "library")
    git(shop.alices / "library", "remote", "set-url", "origin", f"{ORIGIN}/library")
    parent, inside = started(both.alice, shop.alices), started(both.bob, library)

    assert not meet(parent, "auth.py", inside, "auth.py")
    outside = started(both.alice, shop.alices)
    assert "auth.py is locked by" in refusal(outside.edit("library/auth.py"))


def test_a_session_of_one_project_takes_files_of_another_there(
    both: Pair, shop: Clones, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other", FILES, f"{ORIGIN}/other-{os.getpid()}")
    a, native = started(both.alice, shop.alices), started(both.bob, other)

    assert meet(a, other / "auth.py", native, "auth.py")
    assert "" == refusal(native.edit(shop.bobs / "auth.py")), "that is another file"


# -- no repository -----------------------------------------------------------------------


def test_files_outside_any_repository_are_their_machines(both: Pair, tmp_path: Path) -> None:
    a, beside = started(both.alice, tmp_path), started(both.alice, tmp_path)
    b = started(both.bob, tmp_path)

    assert meet(a, "notes.txt", beside, tmp_path / "notes.txt")
    assert "" == refusal(b.edit("notes.txt")), "the same path on another machine"


def test_status_tells_when_a_project_cannot_meet_other_machines(both: Pair, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    git(lonely, "init", "-q")

    project = both.alice.status(lonely)["project"]

    assert not project["shared"]
    assert project["id"].startswith("machine:")
    said = both.alice.scoord("status", cwd=lonely).stdout
    assert "this machine only: no remote, no commit, no `project:`" in said


def test_what_git_keeps_for_itself_is_not_locked(both: Pair, shop: Clones) -> None:
    a, b = started(both.alice, shop.alices), started(both.bob, shop.bobs)

    assert not meet(a, ".git/config", b, ".git/config")
    assert [] == both.alice.status(shop.alices)["locks"]
