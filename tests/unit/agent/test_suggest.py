"""What is suggested in place of a file that is taken."""

import pytest

from scoord_agent.suggest import counterparts, wait_for


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ("auth.py", "tests/test_auth.py"),
        ("src/auth.py", "tests/src/test_auth.py"),
        ("src/auth.py", "tests/test_auth.py"),
        ("src/shop/auth.py", "tests/shop/test_auth.py"),
        ("src/shop/auth.py", "src/shop/test_auth.py"),
        ("pkg/auth.go", "pkg/auth_test.go"),
        ("web/app.ts", "web/app.test.ts"),
        ("web/app.ts", "web/app.spec.ts"),
        ("tests/test_auth.py", "auth.py"),
        ("tests/test_auth.py", "src/auth.py"),
        ("tests/shop/test_auth.py", "src/shop/auth.py"),
        ("pkg/auth_test.go", "pkg/auth.go"),
        ("web/app.spec.ts", "web/app.ts"),
        ("README", "tests/test_README"),
    ],
)
def test_a_test_belongs_to_its_source_and_back(taken: str, expected: str) -> None:
    assert expected in counterparts(taken)


@pytest.mark.parametrize("taken", ["auth.py", "tests/test_auth.py", "a/b/c_test.go", "/x/y.txt"])
def test_a_file_is_never_suggested_in_its_own_place(taken: str) -> None:
    assert taken not in counterparts(taken)


def test_the_command_that_waits_is_named_as_it_can_be_typed() -> None:
    assert "`scoord wait 'my file.py' b.py`" in wait_for(["my file.py", "b.py"])


def test_a_command_that_cannot_be_shown_whole_is_not_shown_in_part() -> None:
    assert "`scoord wait PATH…`" in wait_for(["x" * 300])


def test_a_command_that_waits_holds_nothing_that_acts_or_is_an_option() -> None:
    assert r"`scoord wait $'a\x1b[31m.py'`" in wait_for(["a\x1b[31m.py"])
    assert "`scoord wait -- -f`" in wait_for(["-f"])
