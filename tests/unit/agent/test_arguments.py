"""What the arguments of a command mean."""

from pathlib import Path

import pytest

from scoord.errors import InvalidPath, InvalidRequest
from scoord.ids import MachineId, ProjectId
from scoord.paths import FileIdentity, Locator, NamedBy, Worktree
from scoord.patterns import matches
from scoord_agent.arguments import anchored, identify, is_pattern, is_rooted, together
from support.clock import FakeClock
from support.repositories import git, repository


@pytest.mark.parametrize(
    ("said", "folder", "meant"),
    [
        ("src/api/**", "", "src/api/**"),
        ("*.py", "", "*.py"),
        ("./*.py", "", "/*.py"),
        ("docs/", "", "/docs/"),
        ("./docs/", "", "/docs/"),
        ("test*/", "", "test*/"),
        ("api/**", "src", "src/api/**"),
        ("*.py", "src", "src/**/*.py"),
        ("./*.py", "src", "src/*.py"),
        ("**", "src", "src/**"),
        ("**/x.py", "src", "src/**/x.py"),
        ("../*.py", "src/web", "src/*.py"),
        ("../../*.py", "src/web", "/*.py"),
        ("*.py", "pages/[id]", r"pages/\[id]/**/*.py"),
    ],
)
def test_a_pattern_is_of_the_folder_that_says_it(said: str, folder: str, meant: str) -> None:
    assert meant == anchored(said, folder)


def test_what_is_asked_for_at_once_is_of_one_project_and_branch(tmp_path: Path) -> None:
    def file(project: str, path: str, branch: str) -> FileIdentity:
        root = Worktree(tmp_path / branch, ProjectId(project), False, NamedBy.PATH)
        return FileIdentity(ProjectId(project), path, path, root)

    on_main, on_topic = file("shop", "a.py", "main"), file("shop", "a.py", "topic")
    second, far = file("shop", "b.py", "main"), file("library", "a.py", "main")

    def branch(of: FileIdentity) -> str:
        return of.worktree.root.name if of.worktree else ""

    asked = [second, on_main, on_topic, on_main, far]
    assert [(far,), (second, on_main), (on_topic,)] == list(together(asked, branch))
    assert [(far,), (second, on_main)] == list(together(asked, lambda _file: ""))


@pytest.mark.parametrize("said", ["../*.py", "./", "a/../*.py", "a/./*", "../"])
def test_a_pattern_that_leads_nowhere_is_refused(said: str) -> None:
    with pytest.raises(InvalidRequest):
        anchored(said, "")


def test_a_folder_with_a_wildcard_in_its_name_is_that_folder_only() -> None:
    pattern = anchored("*.py", "pages/[id]")

    assert matches(pattern, "pages/[id]/deep/a.py")
    assert not matches(pattern, "pages/i/a.py")


def test_what_exists_under_that_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "[id].tsx").touch()

    assert not is_pattern("[id].tsx", str(tmp_path))
    assert is_pattern("[no].tsx", str(tmp_path))
    assert is_pattern("docs/", str(tmp_path))
    assert not is_pattern("docs", str(tmp_path))
    assert is_pattern("a*\0", str(tmp_path)) is False


def test_the_lock_of_a_folder_is_named_from_the_root_as_it_is_shown(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "shop", tmp_path / "elsewhere"
    for folder in (root / "lib", elsewhere):
        folder.mkdir(parents=True)

    assert is_rooted("/gone-from-here/", root)
    assert is_rooted("/lib/", root), "whatever else this machine has by that name"
    assert not is_rooted(f"{root}/lib/", root)
    assert not is_rooted(f"{elsewhere}/", root)
    assert not is_rooted("lib/", root)
    assert not is_rooted("/etc/hosts", root)


def test_files_and_patterns_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = repository(tmp_path / "shop", "https://example.com/shop")
    locator = Locator(MachineId("m1"))

    files, patterns = identify(locator, ["a.py", "*.MD", f"{root}/src/*.py"], str(root / "src"))

    assert ["src/a.py"] == [file.shown for file in files]
    assert ["src/**/*.MD", "src/*.py"] == [pattern.shown for pattern in patterns]
    assert ["src/**/*.md", "src/*.py"] == [pattern.key for pattern in patterns]
    assert {"example.com/shop"} == {each.project for each in (*files, *patterns)}


@pytest.mark.parametrize("argument", ["src/a.py", "src/*.py"])
def test_a_command_right_after_a_switch_is_of_the_branch_that_is_checked_out_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = repository(tmp_path / "shop", "https://example.com/shop")
    locator = Locator(MachineId("m1"), FakeClock())
    assert "main" == locator.head_at(root).branch
    git(root, "switch", "-q", "-c", "feature")

    identify(locator, [argument], str(root))

    assert "feature" == locator.head_at(root).branch


def test_outside_a_repository_there_are_no_patterns(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="patterns are held in a repository"):
        identify(Locator(MachineId("m1")), ["*.py"], str(tmp_path))


def test_a_pattern_with_a_control_character_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = repository(tmp_path / "shop", "https://example.com/shop")

    with pytest.raises(InvalidPath, match="control character"):
        identify(Locator(MachineId("m1")), ["a\x1b*"], str(root))


@pytest.mark.parametrize("argument", [".git/config", "./.git/HEAD", "sub/.git/config"])
def test_what_git_keeps_is_refused_by_its_name_also_in_a_linked_worktree(
    tmp_path: Path, argument: str
) -> None:
    (tmp_path / ".git").write_text("gitdir: elsewhere\n", encoding="utf-8")

    with pytest.raises(InvalidRequest, match=r"files inside \.git cannot be locked"):
        identify(Locator(MachineId("m1")), [argument], str(tmp_path))


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("src", "say 'src/'"),
        (".", r"say '\./\*\*'"),
        ("..", r"say '\.\./\*\*'"),
        ("src/..", r"say '\./\*\*'"),
        ("", "'' names no file"),
    ],
)
def test_a_folder_is_refused_with_what_holds_all_that_is_in_it(
    tmp_path: Path, argument: str, instead: str
) -> None:
    (tmp_path / "src").mkdir()

    with pytest.raises(InvalidPath, match=instead):
        identify(Locator(MachineId("m1")), [argument], str(tmp_path))
