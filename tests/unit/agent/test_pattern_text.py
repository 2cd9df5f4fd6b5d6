"""What an argument says by its text."""

import pytest

from scoord.errors import InvalidRequest
from scoord.patterns import check_reservable, matches
from scoord_agent.pattern_text import anchored, escaped, is_pattern, split


@pytest.mark.parametrize(
    ("rest", "folder", "meant"),
    [
        ("*.py", "", "*.py"),
        ("test*/", "", "test*/"),
        ("**", "", "**"),
        ("*/api/", "", "*/api/"),
        ("*.py", "src", "src/**/*.py"),
        ("**", "src", "src/**"),
        ("**/x.py", "src", "src/**/x.py"),
        ("*/x.py", "src", "src/*/x.py"),
        ("*.py", "pages/[id]", r"pages/\[id]/**/*.py"),
    ],
)
def test_a_pattern_alone_matches_at_any_depth_below_its_folder(
    rest: str, folder: str, meant: str
) -> None:
    assert meant == anchored(rest, folder, is_fixed=False)


@pytest.mark.parametrize(
    ("rest", "folder", "meant"),
    [
        ("*.py", "", "/*.py"),
        ("**", "", "/**"),
        ("*.py", "src", "src/*.py"),
        ("**", "src/api", "src/api/**"),
        ("*/x.py", "", "*/x.py"),
        ("*.md", "!odd", r"\!odd/*.md"),
        ("*.md", "#odd/#1", r"\#odd/#1/*.md"),
        ("*.md", "a{b,c}", r"a\{b,c}/*.md"),
        ("", "docs", "/docs/"),
        ("", "[id]", r"/\[id]/"),
        ("", "src/api", "src/api/"),
        ("", "", "/**"),
    ],
)
def test_behind_names_it_is_of_their_folder_only(rest: str, folder: str, meant: str) -> None:
    assert meant == anchored(rest, folder, is_fixed=True)
    assert meant == check_reservable(meant)


@pytest.mark.parametrize("rest", ["*/../x.py", "*/./x.py", "*/.."])
def test_a_pattern_that_leads_nowhere_is_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be held"):
        anchored(rest, "src", is_fixed=True)


@pytest.mark.parametrize(
    ("said", "names", "rest"),
    [
        ("src/api/**", "src/api/", "**"),
        ("*.py", "", "*.py"),
        ("app/[id]/*.tsx", "app/[id]/", "*.tsx"),
        ("app/[id]/", "app/[id]/", ""),
        ("src/[ab]*.py", "src/", "[ab]*.py"),
        (r"app/\[id]/", "app/", r"\[id]/"),
        (r"odd\name/x?", r"odd\name/", "x?"),
    ],
)
def test_names_end_where_a_wildcard_is(said: str, names: str, rest: str) -> None:
    assert (names, rest) == split(said)


def test_brackets_alone_are_no_pattern() -> None:
    assert not is_pattern("app/[id]/page.tsx")
    assert not is_pattern("docs")
    assert is_pattern("app/[id]/")
    assert is_pattern("[ab]*.py")
    assert is_pattern(r"app/\[id]/page.tsx")


@pytest.mark.parametrize("name", ["[id]", "[...slug]", "what?", "a*b", "back\\slash", "{a,b}"])
def test_a_name_is_escaped_to_match_itself_only(name: str) -> None:
    pattern = check_reservable(f"app/{escaped(name)}/")

    assert matches(pattern, f"app/{name}/deep/a.py")
    assert not matches(pattern, "app/i/a.py")
    assert not matches(pattern, "app/a/a.py")
