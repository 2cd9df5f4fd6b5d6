"""When two edits are of the same file, and what cannot be a file."""

import contextlib
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoord.errors import InvalidPath
from scoord.ids import MachineId
from scoord.paths import FileIdentity, Locator
from support.repositories import NAME, git, repository, worktree

NOBODY = 65534


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be someone whom permissions stop, if the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def same(file: FileIdentity) -> tuple[str, str]:
    return file.project, file.key


# The table: A holds src/a.py by its absolute path, B means it by another spelling.


@pytest.mark.parametrize(
    ("cwd", "path"),
    [
        (".", "{repo}/src/a.py"),
        ("src", "{repo}/src/a.py"),
        (".", "src/a.py"),
        (".", "./src/a.py"),
        ("src", "a.py"),
        ("lib", "../src/a.py"),
        (".", "{repo}/lib/../src/a.py"),
        (".", "not-there/../src/a.py"),
        (".", "{repo}//src///a.py"),
        ("/", "/{repo}/src/a.py"),
        (".", "src/./a.py"),
        (".", "link.py"),
        (".", "linked-src/a.py"),
        ("linked-src", "a.py"),
        (".", "linked-deep/../a.py"),
        (".", "{linked}/src/a.py"),
        (".", "SRC/A.py"),
        (".", "src/A.PY"),
        ("/", "{repo}/.//src/../src/a.py"),
    ],
)
def test_every_spelling_of_a_file_is_that_file(
    locator: Locator, repo: Path, tmp_path: Path, cwd: str, path: str
) -> None:
    (repo / "lib").mkdir()
    (repo / "src" / "deep").mkdir()
    (repo / "link.py").symlink_to("src/a.py")
    (repo / "linked-src").symlink_to("src")
    (repo / "linked-deep").symlink_to("src/deep")
    (tmp_path / "linked").symlink_to(repo)
    held = locator.locate(str(repo / "src/a.py"), "/")
    given = path.format(repo=repo, linked=tmp_path / "linked")

    assert same(held) == (NAME, "src/a.py")
    assert same(held) == same(locator.locate(given, str(repo / cwd)))


def test_a_worktree_a_clone_and_another_machine_are_one_project(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    linked = worktree(repo, tmp_path / "linked", "feature")
    elsewhere = repository(tmp_path / "elsewhere" / "deep", "https://github.com/org/name")
    other_machine = Locator(MachineId("m2"))

    found = [
        locator.locate("src/a.py", str(repo)),
        locator.locate("src/a.py", str(linked)),
        locator.locate("a.py", str(linked / "src")),
        other_machine.locate("src/a.py", str(elsewhere)),
    ]

    assert {(NAME, "src/a.py")} == {same(file) for file in found}
    assert linked == found[1].worktree.root if found[1].worktree else None


def test_a_file_is_shown_as_written_and_compared_folded(locator: Locator, repo: Path) -> None:
    found = locator.locate("Src/Über.PY", str(repo))

    assert (found.shown, found.key) == ("Src/Über.PY", "src/über.py")


def test_composed_and_decomposed_names_are_one_file_and_shown_composed(
    locator: Locator, repo: Path
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café.py") for form in ("NFC", "NFD"))
    (repo / decomposed).touch()

    found = locator.locate(decomposed, str(repo))

    assert composed == found.shown
    assert same(found) == same(locator.locate(composed, str(repo)))


def test_two_repositories_never_meet(locator: Locator, repo: Path, tmp_path: Path) -> None:
    others = [
        repository(tmp_path / "other", "git@github.com:org/other.git"),
        repository(tmp_path / "elsewhere", "git@gitlab.com:org/name.git"),
        repository(tmp_path / "local-1", message="one"),
        repository(tmp_path / "local-2", message="two"),
    ]
    (tmp_path / "new-1" / "src").mkdir(parents=True)
    (tmp_path / "new-2" / "src").mkdir(parents=True)
    git(tmp_path / "new-1", "init", "-q")
    git(tmp_path / "new-2", "init", "-q")
    roots = [repo, *others, tmp_path / "new-1", tmp_path / "new-2", tmp_path]

    found = {same(locator.locate("src/a.py", str(root))) for root in roots}

    assert len(roots) == len(found)


def test_a_file_that_is_not_there_yet_has_an_identity(locator: Locator, repo: Path) -> None:
    found = locator.locate("new/folder/b.py", str(repo))

    assert same(found) == (NAME, "new/folder/b.py")


def test_a_link_to_a_file_that_is_not_there_yet_names_that_file(
    locator: Locator, repo: Path
) -> None:
    (repo / "link.py").symlink_to("new/b.py")

    assert same(locator.locate("link.py", str(repo))) == (NAME, "new/b.py")


def test_a_link_out_of_the_repository_names_the_file_outside(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.py"
    outside.touch()
    (repo / "link.py").symlink_to(outside)

    assert ("machine:m1", str(outside).lower()) == same(locator.locate("link.py", str(repo)))


def test_dots_after_a_linked_folder_lead_to_where_it_points(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (repo / "link").symlink_to(tmp_path / "far" / "deep")

    found = locator.locate("link/../x.py", str(repo))

    assert str(tmp_path / "far" / "x.py") == found.shown


def test_a_submodule_is_a_project_of_its_own(locator: Locator, repo: Path, tmp_path: Path) -> None:
    library = repository(tmp_path / "library", "https://example.com/library.git")
    git(repo, "submodule", "add", "-q", str(library), "vendor/library")

    inside = locator.locate("vendor/library/src/a.py", str(repo))

    # Its origin is a clone on this machine, which has one that others know.
    assert same(inside) == ("example.com/library", "src/a.py")
    assert same(locator.locate("vendor/a.py", str(repo))) == (NAME, "vendor/a.py")


def test_a_repository_inside_another_is_its_own(locator: Locator, repo: Path) -> None:
    inner = repository(repo / "inner", "https://example.com/inner")

    assert same(locator.locate(str(inner / "src/a.py"), "/")) == ("example.com/inner", "src/a.py")


@pytest.mark.parametrize("content", ["", "not a git file\n", "gitdir:nospace\n"])
def test_a_file_called_dot_git_that_is_none_is_passed_over(
    locator: Locator, repo: Path, content: str
) -> None:
    (repo / "src" / ".git").write_text(content)

    assert same(locator.locate("src/a.py", str(repo))) == (NAME, "src/a.py")


@pytest.mark.parametrize("names", [["refs"], ["refs", "objects"], ["HEAD", "refs"]])
def test_a_folder_called_dot_git_that_is_none_is_passed_over(
    locator: Locator, repo: Path, names: list[str]
) -> None:
    for name in names:
        (repo / "src" / ".git" / name).mkdir(parents=True)

    assert same(locator.locate("src/a.py", str(repo))) == (NAME, "src/a.py")


def test_a_worktree_whose_repository_is_gone_is_refused(
    locator: Locator, repo: Path, tmp_path: Path
) -> None:
    linked = worktree(repo, tmp_path / "linked", "feature")
    shutil.rmtree(repo)
    missing = re.escape(f"{repo}/.git/worktrees/linked; in a container, mount that repository")

    with pytest.raises(InvalidPath, match=f"names a repository that is not there.*: {missing}"):
        locator.locate("src/a.py", str(linked))


@pytest.mark.parametrize(
    "path", [".git/config", ".GIT/config", "vendor/.git", ".g\u200cit/hooks/x"]
)
def test_what_git_keeps_is_not_coordinated(locator: Locator, repo: Path, path: str) -> None:
    assert not locator.locate(path, str(repo)).coordinated


@pytest.mark.parametrize("path", ["src/a.py", ".gitignore", ".github/x", "git/x"])
def test_every_other_file_is_coordinated(locator: Locator, repo: Path, path: str) -> None:
    assert locator.locate(path, str(repo)).coordinated


# What is refused.


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "the path is empty"),
        ("a\0b", "control character U+0000"),
        ("a\nb", "control character U+000A"),
        ("a\udcff", "lone surrogate"),
        ("x" * 300, "File name too long"),
        ("x/" * 2500, "bytes; at most 4096"),
        ("loop/x", "symbolic links"),
        ("not-there/../loop", "symbolic links"),
        ("src/a.py/b", "is a file, not a folder"),
        ("src", "is a folder, not a file"),
        (".", "is a folder, not a file"),
    ],
)
def test_what_cannot_be_a_file_is_refused_in_one_line(
    locator: Locator, repo: Path, path: str, said: str
) -> None:
    (repo / "loop").symlink_to("loop")

    with pytest.raises(InvalidPath, match=re.escape(said)) as caught:
        locator.locate(path, str(repo))

    assert caught.value.message.isprintable()


def test_a_relative_path_needs_an_absolute_start(locator: Locator) -> None:
    with pytest.raises(InvalidPath, match="absolute"):
        locator.locate("a.py", "here")
    with pytest.raises(InvalidPath, match="absolute"):
        locator.worktree_of("here")


def test_a_folder_that_may_not_be_looked_into_is_refused(locator: Locator) -> None:
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name).resolve() / "closed"
        closed.mkdir()
        Path(name).chmod(0o755)
        closed.chmod(0)
        for path in ("closed/a.py", "not-there/../closed/a.py"):
            with (
                unprivileged(),
                pytest.raises(InvalidPath, match="Permission denied"),
            ):
                locator.locate(path, name)
        closed.chmod(0o700)


def test_a_repository_that_git_does_not_trust_is_refused(locator: Locator, repo: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder to someone else")
    for file in (repo, repo / ".git"):
        os.chown(file, NOBODY, NOBODY)

    with pytest.raises(InvalidPath, match=r"git cannot read .*dubious ownership") as caught:
        locator.locate("src/a.py", str(repo))

    trusting = f"; if you trust it: git config --global --add safe.directory {repo}"
    assert caught.value.message.endswith(trusting)


def test_a_machine_without_git_is_told_so(
    locator: Locator, repo: Path, no_git: Callable[[], None]
) -> None:
    no_git()

    with pytest.raises(InvalidPath, match="git is not installed"):
        locator.locate("src/a.py", str(repo))


@given(st.lists(st.sampled_from(["..", ".", "", "src", "a.py", "A.py", "link", "up", "n"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_spelling_escapes_the_root(locator: Locator, repo: Path, parts: list[str]) -> None:
    for name, target in (("link", "src"), ("up", "../..")):
        if not (repo / name).is_symlink():
            (repo / name).symlink_to(target)
    spelled = "/".join(["start", "..", *parts])
    try:
        found = locator.locate(spelled, str(repo))
    except InvalidPath:
        return
    real = (repo / spelled).resolve()

    assert (found.worktree is not None) == real.is_relative_to(repo)
    assert real == (repo / found.shown)  # an absolute path stays what it is
