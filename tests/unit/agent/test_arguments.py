"""What the arguments of a command mean."""

from pathlib import Path

import pytest

from scoord.errors import InvalidPath, InvalidRequest
from scoord.ids import MachineId, ProjectId
from scoord.paths import FileIdentity, Locator, NamedBy, Worktree
from scoord_agent.arguments import Meaning, identify, is_rooted, meanings, together
from support.clock import FakeClock
from support.repositories import git, repository, worktree


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with some folders."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = repository(tmp_path / "shop", "https://example.com/shop")
    for folder in ("src/api", "src/web", "docs", "packages/pkg", "app/[id]"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


def only(*arguments: str, cwd: Path) -> Meaning:
    """What the one argument means to a command that takes it."""
    files, patterns = identify(Locator(MachineId("m1")), arguments, str(cwd))
    (what,) = (*files, *patterns)
    return Meaning(what, is_pattern=bool(patterns))


def held(argument: str, cwd: Path) -> str:
    meant = only(argument, cwd=cwd)
    assert meant.is_pattern
    return meant.what.shown


@pytest.mark.parametrize(
    ("said", "folder", "meant"),
    [
        ("src/api/**", ".", "src/api/**"),
        ("src//api//**", ".", "src/api/**"),
        ("*.py", ".", "*.py"),
        ("./*.py", ".", "/*.py"),
        ("docs/", ".", "/docs/"),
        ("./docs/", ".", "/docs/"),
        ("api/**", "src", "src/api/**"),
        ("api/", "src", "src/api/"),
        ("*.py", "src", "src/**/*.py"),
        ("./*.py", "src", "src/*.py"),
        ("../*.py", "src/web", "src/*.py"),
        ("../../*.py", "src/web", "/*.py"),
        ("web/../api/*.py", "src", "src/api/*.py"),
        ("./", "src/web", "src/web/"),
        ("./", ".", "/**"),
        ("/src/**", "src/web", "src/**"),
        ("/docs/", "src", "/docs/"),
        ("/new/", "src", "/new/"),
        ("app/[id]/", ".", r"app/\[id]/"),
        ("app/[id]/*.tsx", ".", r"app/\[id]/*.tsx"),
        ("app/[...new]/*.tsx", ".", r"app/\[...new]/*.tsx"),
    ],
)
def test_a_pattern_is_of_the_folder_that_says_it(
    shop: Path, said: str, folder: str, meant: str
) -> None:
    assert meant == held(said, shop / folder)
    assert meant == held(meant, shop), "as it is shown it is said in the top folder"


def test_the_names_ahead_of_a_wildcard_lead_where_those_of_a_file_lead(
    shop: Path, tmp_path: Path
) -> None:
    (shop / "vendor").symlink_to("packages")
    (tmp_path / "link").symlink_to(shop)
    other = worktree(shop, tmp_path / "other", "topic")

    assert held("vendor/pkg/", shop) == "packages/pkg/"
    assert held(f"{tmp_path}/link/src/**", shop) == "src/**"
    assert held(f"{tmp_path}/link/docs/", tmp_path / "link") == "/docs/"
    assert held(f"{shop}//src/*.py", shop / "docs") == "src/*.py"
    elsewhere = only(f"{other}/src/new/**", cwd=shop)
    assert (elsewhere.what.shown, elsewhere.what.project) == ("src/new/**", "example.com/shop")
    assert elsewhere.what.worktree is not None
    assert elsewhere.what.worktree.root == other


def test_a_submodules_files_are_held_in_its_own_project(shop: Path) -> None:
    lib = repository(shop / "lib", "https://example.com/lib")

    for said, shown in (("lib/", "/**"), ("lib/**", "/**"), ("lib/src/", "/src/")):
        meant = only(said, cwd=shop).what
        assert (meant.project, meant.shown) == ("example.com/lib", shown)
    meant = only("../src/*", cwd=lib).what
    assert (meant.project, meant.shown) == ("example.com/shop", "src/*")


@pytest.mark.parametrize("said", ["app/[id]/new.tsx", "app/[...slug]/page.tsx", "[id].tsx"])
def test_brackets_in_a_name_are_a_files_whether_it_is_there_or_not(shop: Path, said: str) -> None:
    before = only(said, cwd=shop)
    (shop / said).parent.mkdir(exist_ok=True)
    (shop / said).touch()

    assert before == only(said, cwd=shop)
    assert (before.what.shown, before.is_pattern) == (said, False)


def test_a_pattern_is_the_same_one_once_something_is_called_so(shop: Path) -> None:
    before = only("what?.md", cwd=shop)
    (shop / "what?.md").touch()

    assert before == only("what?.md", cwd=shop)
    assert before.is_pattern


def test_a_file_that_is_called_as_a_pattern_is_found_where_the_pattern_is_not_held(
    shop: Path, tmp_path: Path
) -> None:
    locator = Locator(MachineId("m1"))

    may_be = meanings(locator, "what?.md", str(shop))
    *_, outside = meanings(locator, str(tmp_path / "what?.md"), str(shop))

    assert [("what?.md", True), ("what?.md", False)] == [
        (each.what.shown, each.is_pattern) for each in may_be
    ]
    assert (outside.what.worktree, outside.is_pattern) == (None, False)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("../*.py", r"'\.\./\*\.py' leads out of the worktree"),
        ("../", "leads out of the worktree"),
        ("*/../x.py", "cannot be held"),
        ("/usr/**", "there is none"),
        ("!docs/**", "cannot be held"),
        ("!docs/a.md", "cannot be held"),
        ("!*.md", "cannot be held"),
        ("src/*.{ts,tsx}", "has braces"),
        ("src/{a,b}.py", "has braces"),
        ("src/{api,web}/", "has braces"),
        (".git/**", r"files inside \.git cannot be locked"),
        ("start.txt/", "is a file, not a folder"),
        ("start.txt/*.py", "is a file, not a folder"),
    ],
)
def test_what_would_hold_nothing_of_what_is_meant_is_refused(
    shop: Path, said: str, why: str
) -> None:
    (shop / "start.txt").touch()

    with pytest.raises((InvalidRequest, InvalidPath), match=why):
        only(said, cwd=shop)


def test_a_name_that_is_there_is_meant_whatever_it_has_in_it(shop: Path) -> None:
    for folder in ("!odd", "a{b,c}", "[ab]", "a"):
        (shop / folder).mkdir()
        (shop / folder / "x.md").touch()

    assert held("!odd/*.md", shop) == r"\!odd/*.md"
    assert held("a{b,c}/*.md", shop) == r"a\{b,c}/*.md"
    assert held("[ab]/", shop) == r"/\[ab]/"
    for new in ("!odd/new.md", "a{b,c}/new.md", "[ab]/new.md"):
        assert only(new, cwd=shop).what.shown == new


def test_brackets_that_may_be_meant_as_a_class_are_asked_about(shop: Path) -> None:
    (shop / "src/web/a.py").touch()

    with pytest.raises(InvalidRequest) as refused:
        only("src/web/[ab].py", cwd=shop)

    assert "'a.py' is there" in refused.value.message
    assert r"say 'src/web/\\[ab].py' for a new one" in refused.value.message
    assert held("src/web/[ab]*.py", shop) == "src/web/[ab]*.py"
    assert held(r"src/web/\[ab].py", shop) == r"src/web/\[ab].py"
    assert meanings(Locator(MachineId("m1")), "src/web/[ab].py", str(shop))[0].what.shown


@pytest.mark.parametrize("said", ["src", "src/api", "."])
def test_a_folder_may_be_meant_as_what_was_a_file_and_is_refused_else(
    shop: Path, said: str
) -> None:
    (meant,) = meanings(Locator(MachineId("m1")), said, str(shop))

    assert not meant.is_pattern
    assert meant.refusal
    assert "is a folder; to hold all that is in one, say" in meant.refusal.message
    if said != ".":
        assert (meant.what.shown, meant.what.project) == (said, "example.com/shop")


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
