"""What files, history and imports say of how a repository's parts belong together."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from scoord.names import path_key
from scoord.sections import AreaSettings
from scoord_agent.knowledge import areas, cochange, habits, imports
from scoord_agent.knowledge.repository import Knowledge, learn
from support.repositories import git, repository


def by_key(*files: str) -> dict[str, str]:
    return {path_key(path): path for path in files}


def partners(commits: Sequence[Sequence[str]], of: str) -> list[str]:
    files = by_key(*(path for commit in commits for path in commit))
    return [partner.path for partner in cochange.learn(commits, files).of(path_key(of))]


# what changes together


def test_files_of_the_same_commits_belong_together_closest_first() -> None:
    commits = [["a", "b"], ["a", "b", "c"], ["a", "b"], ["a", "c"], ["d"]]

    assert ["b", "c"] == partners(commits, "a")


def test_it_is_said_in_how_many_commits() -> None:
    commits = [["a", "b"], ["a", "b"], ["a"], ["b"]]
    (partner,) = cochange.learn(commits, by_key("a", "b")).of("a")

    assert (2, 3) == (partner.together, partner.of)


def test_once_is_chance() -> None:
    assert [] == partners([["a", "b"], ["a"], ["b"]], "a")


def test_what_is_in_every_commit_belongs_to_nothing_in_particular() -> None:
    commits = [["a", "b", "log"]] * 3 + [["c", "log"]] * 9 + [["a", "log"]]

    assert ["b", "log"] == partners(commits, "a")


def test_a_giant_commit_says_nothing() -> None:
    many = [f"{n}" for n in range(cochange.GIANT + 1)]

    assert [] == partners([many, many], "1")


def test_what_is_gone_is_no_partner() -> None:
    known = cochange.learn([["a", "gone"]] * 3, by_key("a"))

    assert () == known.of("a")


def test_files_are_compared_without_regard_to_case() -> None:
    assert ["B.py"] == partners([["A.py", "B.py"], ["a.py", "B.py"]], "a.PY")


# naming


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("agent/scoord_agent/edits.py", "tests/unit/agent/test_edits.py"),
        ("src/shop/auth.py", "tests/test_auth.py"),
        ("pkg/auth.go", "pkg/auth_test.go"),
        ("web/app.ts", "web/__tests__/app.tsx"),
        ("web/app.ts", "web/app.spec.ts"),
        ("app/models/user.rb", "spec/models/user_spec.rb"),
        ("src/main/java/shop/Cart.java", "src/test/java/shop/CartTest.java"),
        ("store/watch.py", "tests/test_store_watch.py"),
        ("store/__init__.py", "tests/test_store.py"),
    ],
)
def test_a_test_is_found_wherever_the_project_keeps_it(source: str, test: str) -> None:
    known = habits.learn([source, test, "elsewhere/unlike.py", "tests/test_unlike.py"])

    assert [test] == known.counterparts(source)
    assert source in known.counterparts(test)


def test_of_several_the_nearest_is_first() -> None:
    known = habits.learn(["a/util.py", "b/util.py", "tests/a/test_util.py", "tests/b/test_util.py"])

    assert "tests/b/test_util.py" == known.counterparts("b/util.py")[0]
    assert "a/util.py" == known.counterparts("tests/a/test_util.py")[0]


def test_a_test_that_is_not_there_yet_will_be_where_those_of_its_neighbours_are() -> None:
    pairs = [f"{of}/{where}" for of in "ab" for where in ("src/x.py", "tests/test_x.py")]
    known = habits.learn([*pairs, "b/tests/test_y.py", "a/src/login.py", "b/src/cart.py"])

    assert "a/tests/test_login.py" == known.new_test("test_login.py")
    assert "b/tests/test_cart.py" == known.new_test("test_cart.py")
    assert ["a/src/login.py"] == known.counterparts("a/tests/test_login.py")
    assert "" == known.new_test("test_unheard_of.py")
    assert "" == known.new_test("login.py"), "it is no test"


def test_a_name_alone_makes_no_pair_across_languages() -> None:
    known = habits.learn(["auth.py", "tests/auth.ts"])

    assert [] == known.counterparts("auth.py")


# who imports whom


def imported(files: dict[str, str], tmp_path: Path) -> dict[str, list[str]]:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imports.learn(tmp_path, by_key(*files), time.monotonic() + 10)
    return {key: sorted(paths) for key, paths in found.imported.items()}


def test_python_files_are_found_behind_every_form_of_import(tmp_path: Path) -> None:
    files = {
        "src/shop/__init__.py": "",
        "src/shop/cart.py": "from shop.price import (\n    total,\n)\nimport os, shop.tax\n",
        "src/shop/price.py": "from . import tax\nfrom .deep.rate import x\n",
        "src/shop/tax.py": "def f():\n    from ..shop import cart\n",
        "src/shop/deep/__init__.py": "",
        "src/shop/deep/rate.py": '"""See\n\nfrom the shop, import what you like.\n"""\n',
    }

    assert {
        "src/shop/cart.py": ["src/shop/price.py", "src/shop/tax.py"],
        "src/shop/price.py": ["src/shop/deep/rate.py", "src/shop/tax.py"],
        "src/shop/tax.py": ["src/shop/cart.py"],
    } == imported(files, tmp_path)


def test_a_package_below_another_folder_is_found_by_its_own_name(tmp_path: Path) -> None:
    files = {
        "server/shop/__init__.py": "",
        "server/shop/cart.py": "",
        "tests/test_cart.py": "from shop.cart import Cart\n",
    }

    assert {"tests/test_cart.py": ["server/shop/cart.py"]} == imported(files, tmp_path)


def test_scripts_and_headers_are_found_by_relative_imports(tmp_path: Path) -> None:
    files = {
        "web/app.ts": "import { a } from './lib/a.js'\nexport * from '../shared'",
        "web/lib/a.ts": "const b = require('../b')",
        "web/b.jsx": "const c = import('./lib/a')",
        "shared/index.ts": "",
        "c/main.c": '#include "main.h"\n#include <stdio.h>\n',
        "c/main.h": "",
    }

    assert {
        "web/app.ts": ["shared/index.ts", "web/lib/a.ts"],
        "web/lib/a.ts": ["web/b.jsx"],
        "web/b.jsx": ["web/lib/a.ts"],
        "c/main.c": ["c/main.h"],
    } == imported(files, tmp_path)


def test_importers_are_known_too(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("")
    found = imports.learn(tmp_path, by_key("a.py", "b.py"), time.monotonic() + 10)

    assert ("a.py",) == found.imported_by("b.py")
    assert ("a.py",) == found.neighbours("b.py")


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("/dev/zero")
    (tmp_path / "b.py").write_bytes(b"import a\nfrom \xff import c\nimport (\n")

    found = imports.learn(tmp_path, by_key("a.py", "b.py", "gone.py"), time.monotonic() + 10)

    assert ("a.py",) == found.imports("b.py")


@pytest.mark.parametrize("name", ["a.js", "a.py", "a.c"])
@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{word}{blank * 100_000}"
            for word in ("import", "from", "require")
            for blank in "\n\t "
        ),
        "from a import (\n" * 7_000,
        "import (" + "(" * 100_000,
        "#" + "\t" * 100_000,
        "from './" * 12_000,
    ],
    ids=lambda text: repr(text[:16]),
)
def test_no_file_takes_more_than_its_length_to_read(tmp_path: Path, name: str, text: str) -> None:
    """``import`` before 20 kB of blank lines stopped the agent for seconds."""
    (tmp_path / name).write_text(text)
    begun = time.process_time()

    imports.learn(tmp_path, by_key(name), time.monotonic() + 10)

    assert time.process_time() - begun < 0.7


def test_when_its_time_is_over_it_stops(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")

    assert () == imports.learn(tmp_path, by_key("a.py", "b.py"), time.monotonic() - 1).imports(
        "a.py"
    )


# areas


def found_areas(*files: str, commits: Sequence[Sequence[str]] = ()) -> areas.Areas:
    files_by_key = by_key(*files)
    return areas.found(files_by_key, cochange.learn(commits, files_by_key), {})


def test_areas_are_the_folders_at_the_top() -> None:
    known = found_areas("api/a.py", "web/b.ts", "README.md")

    assert {"api", "web", areas.TOP} == {area.name for area in known.all}
    assert (("api",), (areas.TOP,)) == (known.of("api/a.py"), known.of("readme.md"))


def test_a_folder_with_most_of_the_files_falls_into_those_below_it() -> None:
    inside = [f"src/app/{part}/{n}.py" for part in ("auth", "cart") for n in range(10)]
    known = found_areas(*inside, "docs/a.md", "src/app/main.py")

    assert {"docs", "src/app/auth", "src/app/cart", "src/app"} == {a.name for a in known.all}


def test_a_folder_with_a_manifest_stays_whole() -> None:
    packages = [f"packages/{name}/src/{n}.ts" for name in ("one", "two", "six") for n in range(9)]
    manifests = [f"packages/{name}/package.json" for name in ("one", "two", "six")]

    known = found_areas(*packages, *manifests)

    assert {"packages/one", "packages/two", "packages/six"} == {a.name for a in known.all}


def test_files_that_lie_flat_fall_into_what_changes_together() -> None:
    files = [f"src/{n}.py" for n in range(40)]
    together = [["src/1.py", "src/2.py", "src/3.py"]] * 5

    known = found_areas(*files, "docs/a.md", commits=together)

    assert ("src: 1",) == known.of("src/2.py")
    assert ("src",) == known.of("src/9.py")


def test_a_new_file_is_in_the_area_of_its_folder() -> None:
    known = found_areas("api/a.py", "README.md")

    assert ("api",) == known.of("api/new/deep.py")
    assert (areas.TOP,) == known.of("new.md")
    assert () == known.of("new/file.py")


def test_areas_that_the_repository_names_go_by_their_patterns() -> None:
    named = {
        "login": AreaSettings(patterns=("src/auth/**", "test_auth*"), description="who may"),
        "all": AreaSettings(patterns=("src/",)),
    }
    known = areas.configured(named, ["src/auth/a.py", "src/b.py", "tests/test_auth.py"])

    assert ("login", "all") == known.of("src/auth/a.py")
    assert ("login", "all") == known.of("src/auth/new.py")
    assert {"src/auth/a.py", "tests/test_auth.py"} == (known.all[0].files)
    assert ["all", "login"] == known.of_all(["src/auth/a.py", "src/b.py"])


def test_of_a_tasks_headings_and_labels_only_an_areas_name_says_where() -> None:
    known = found_areas("api/a.py", "README.md")

    assert known.named("api") == known.among(["Later on", "API"])
    assert None is known.among(["TODO", "Later on"])


# all of it


def test_a_repository_is_learned_from_its_files_and_its_history(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    (root / "pyproject.toml").write_text('[project]\nname = "x"\ndescription = "a\\nshop"\n')
    for n in range(3):
        (root / "src" / "a.py").write_text(f"import b  # {n}\n")
        (root / "src" / "b.py").write_text(f"{n}\n")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "more")

    known = learn(root, "abc")

    assert isinstance(known, Knowledge)
    assert {"pyproject.toml", "src/a.py", "src/b.py"} == set(known.files)
    assert ["src/b.py"] == [partner.path for partner in known.cochange.of("src/a.py")]
    assert ("src/b.py",) == known.imports.imports("src/a.py")
    assert "a shop" in {area.description for area in known.areas.all}
