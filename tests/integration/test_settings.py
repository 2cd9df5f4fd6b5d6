"""Every setting that acts does what it says, from the repository's own files."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import FAST_LEASES, CodingSession, context, refusal, repository, seconds_until
from support.pair import Clones, Pair, clones, pair

SEED = Path(__file__).parents[1] / "unit" / "protos" / "data" / "coordination.yaml"
"""The file that users of the first version have."""

BEAT_S = float(FAST_LEASES["SCOORD_LEASES_HEARTBEAT"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


def shop(directory: Path, *settings: str, patterns: str = "") -> Clones:
    """A project whose repository has these settings."""
    lines = "".join(f"  {setting}\n" for setting in settings)
    files = {"auth.py": "", "b.py": "", "notes.md": "", "vendor/lib.py": "", "api/web.go": ""}
    return clones(
        directory,
        files
        | {"coordination.yaml": f"session_coordination:\n{lines}"}
        | ({"file-patterns.yaml": patterns} if patterns else {}),
    )


def sessions(both: Pair, here: Clones) -> tuple[CodingSession, CodingSession]:
    """Alice's session and Bob's, announced."""
    a, b = both.alice.session(here.alices), both.bob.session(here.bobs)
    a.start()
    b.start()
    return a, b


def test_without_file_locks_nothing_is_locked(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "enable_file_locks: false")
    a, b = sessions(both, here)

    assert {} == a.edit("auth.py")
    assert {} == b.edit("auth.py")
    assert [] == both.alice.status(here.alices)["locks"]


def test_without_auto_register_a_session_stays_unknown(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "auto_register: false")
    a, b = sessions(both, here)
    a.prompt("be seen")

    assert [] == both.alice.status(here.alices)["sessions"]
    assert {} == a.edit("auth.py")
    assert {} == b.edit("auth.py"), "nor is it guarded, or in the way of others"
    assert [] == both.alice.status(here.alices)["locks"]


def test_block_denies_what_another_holds(both: Pair, tmp_path: Path) -> None:
    a, b = sessions(both, shop(tmp_path, "conflict_action: block"))
    a.edit("auth.py")

    assert "auth.py is locked by Session_1" in refusal(b.edit("auth.py"))


def test_warn_lets_the_edit_through_and_tells_both_sides(both: Pair, tmp_path: Path) -> None:
    a, b = sessions(both, shop(tmp_path, "conflict_action: warn"))
    b.prompt("add a second factor")
    a.edit("auth.py")

    answer = b.edit("auth.py")

    assert "" == refusal(answer)
    assert "auth.py is locked by Session_1 (alice@" in context(answer)
    assert "auth.py is locked by Session_1 (alice@" in answer["systemMessage"]
    told = 'edits auth.py too, which you hold: "add a second factor"'
    seconds_until("the holder is told", lambda: told in context(a.edit("b.py")), 3)


def test_proceed_lets_the_edit_through_and_says_nothing(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "conflict_action: proceed")
    a, b = sessions(both, here)
    b.prompt("add a second factor")
    a.edit("auth.py")

    assert {} == b.edit("auth.py")
    told = ', branch main) edits auth.py too, which you hold: "add a second factor"'
    seconds_until("the holder is told", lambda: told in context(a.edit("b.py")), 3)
    (lock,) = [k for k in both.bob.status(here.bobs)["locks"] if k["path"] == "auth.py"]
    assert "Session_1" == lock["alias"]


def test_only_critical_files_are_locked(both: Pair, tmp_path: Path) -> None:
    a, b = sessions(both, shop(tmp_path, 'critical_files: ["*.py", "/api/**"]'))
    for file in ("auth.py", "vendor/lib.py", "api/web.go", "notes.md", "api.md"):
        a.edit(file)

    refused = [
        f for f in ("auth.py", "vendor/lib.py", "api/web.go", "notes.md") if refusal(b.edit(f))
    ]

    assert ["auth.py", "vendor/lib.py", "api/web.go"] == refused


def test_file_patterns_add_and_take_away(both: Pair, tmp_path: Path) -> None:
    patterns = 'lock: ["*.md"]\nignore: ["vendor/"]\n'
    a, b = sessions(both, shop(tmp_path, 'critical_files: ["*.py"]', patterns=patterns))
    files = ("auth.py", "notes.md", "vendor/lib.py", "api/web.go")
    for file in files:
        a.edit(file)

    assert ["auth.py", "notes.md"] == [file for file in files if refusal(b.edit(file))]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("vendor/lib.py", "`ignore` in file-patterns.yaml names vendor/lib.py"),
        ("vendor/**", "`ignore` in file-patterns.yaml names vendor/**"),
        (
            "api/web.go",
            "neither `critical_files` nor `lock` in file-patterns.yaml names api/web.go",
        ),
        ("*.md", "neither `critical_files` nor `lock` in file-patterns.yaml names *.md"),
    ],
)
@pytest.mark.parametrize("command", ["lock", "wait"])
def test_what_no_edit_asks_for_is_not_locked(
    both: Pair, tmp_path: Path, command: str, argument: str, reason: str
) -> None:
    patterns = 'ignore: ["vendor/"]\n'
    here = shop(tmp_path, 'critical_files: ["*.py"]', patterns=patterns)
    done = both.alice.scoord(command, argument, "auth.py", cwd=here.alices)

    assert done.returncode == 2
    assert done.stderr == f"error: not coordinated here: {reason}; nothing was locked\n"
    assert [] == both.alice.status(here.alices)["locks"]


def test_a_pattern_is_locked_of_which_some_is_ignored(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "scope: repository", patterns='ignore: ["*.md"]\n')
    done = both.alice.scoord("lock", "api/**", cwd=here.alices)
    both.alice.scoord("release", "api/**", cwd=here.alices)

    assert done.stdout == "locked api/**\n"


def test_a_lock_that_is_used_outlives_its_timeout_and_an_unused_one_does_not(
    both: Pair, tmp_path: Path
) -> None:
    a, b = sessions(both, shop(tmp_path, "heartbeat_interval: 0.5", "lock_timeout: 2"))
    a.edit("auth.py")
    a.edit("b.py")

    notice, told = "Your lock on b.py was unused for too long and is given up.", [""]

    def is_told() -> bool:
        told.append(context(a.edit("auth.py")))
        return any(notice in text for text in told)

    def is_free(file: str) -> bool:
        is_told()
        return not refusal(b.edit(file))

    seconds_until("the unused lock is given up", lambda: is_free("b.py"), 5)
    seconds_until("its holder is told, at whichever hook comes next", is_told, 3)

    assert refusal(b.edit("auth.py"))
    assert 1 == "".join(told).count(notice)


def test_who_works_where_less_time_is_given_than_at_home_keeps_its_session_and_locks(
    both: Pair, tmp_path: Path
) -> None:
    """Above the repository, and so in none, the user's settings hold."""
    short = ("heartbeat_interval: 0.5", "session_timeout: 2", "lock_timeout: 2")
    here = shop(tmp_path, *short)
    a, b = both.alice.session(here.alices.parent), both.bob.session(here.bobs)
    file, told = here.alices / "auth.py", list[str]()
    a.start()
    b.start()
    a.edit(file)
    end = time.monotonic() + 5

    while time.monotonic() < end:
        time.sleep(0.5)
        told += refusal(a.edit(file)), context(a.edit(file))
        assert "auth.py is locked by Session_" in refusal(b.edit("auth.py"))

    assert "" == "".join(told)


def test_a_session_that_does_nothing_for_too_long_is_ended_until_it_does_something(
    both: Pair, tmp_path: Path
) -> None:
    here = shop(tmp_path, "heartbeat_interval: 0.5", "session_timeout: 2", "lock_timeout: 60")
    a, b = sessions(both, here)
    a.edit("auth.py")

    def is_free() -> bool:
        return not refusal(b.edit("auth.py"))

    assert 2 < seconds_until("the idle session's lock is free", is_free, 6)
    time.sleep(BEAT_S + 0.5)
    listed = both.bob.status(here.bobs)["sessions"]
    assert ["bob"] == [session["person"] for session in listed], "its agent's beats do not count"
    told = refusal(a.edit("auth.py"))

    assert "auth.py is locked by Session_2 (bob@" in told
    assert "Your lock on auth.py was lost" in told
    listed = both.bob.status(here.bobs)["sessions"]
    assert {"alice", "bob"} == {session["person"] for session in listed}


def test_without_cleaning_up_what_is_idle_stays(both: Pair, tmp_path: Path) -> None:
    short = ("heartbeat_interval: 0.5", "session_timeout: 1", "lock_timeout: 1")
    here = shop(tmp_path, *short, "auto_cleanup_stale: false")
    a, b = sessions(both, here)
    a.edit("auth.py")

    time.sleep(4)

    assert "auth.py is locked by Session_1" in refusal(b.edit("auth.py"))
    assert "unused for too long" not in context(a.edit("b.py"))


def test_a_prompt_is_shared_unless_it_may_not_be(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "share_prompts: false")
    a, b = sessions(both, here)
    a.prompt("the secret plan")
    a.edit("auth.py")

    assert "no reason given" in refusal(b.edit("auth.py"))
    assert "the secret plan" not in b.start()


def test_the_first_versions_file_loads_and_acts(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path)
    for root in (here.alices, here.bobs):
        (root / "coordination.yaml").write_bytes(SEED.read_bytes())
    a, b = sessions(both, here)
    files = ("auth.py", "coordination.yaml", "notes.md", "api/web.go")
    for file in files:
        assert {} == a.edit(file)

    assert ["auth.py", "coordination.yaml"] == [file for file in files if refusal(b.edit(file))]
    assert [] == both.alice.status(here.alices)["problems"]


# -- a settings file that does not load ------------------------------------------------


def test_settings_that_break_leave_the_last_good_ones_in_force_until_they_are_mended(
    both: Pair, tmp_path: Path
) -> None:
    here = shop(tmp_path, "conflict_action: warn")
    a, b = sessions(both, here)
    a.edit("auth.py")
    file = here.bobs / "coordination.yaml"
    good = file.read_text()

    file.write_text(f"{good}  lock_timeout: soon\n")
    line = f"{file}:3: session_coordination.lock_timeout"
    seconds_until("it is seen", lambda: line in _told(b.edit("auth.py")), 3)

    assert "" == refusal(b.edit("auth.py")), "still warn, not the default"
    assert any(line in problem for problem in both.bob.status(here.bobs)["problems"])
    assert "" == refusal(b.edit(file)), "the session can mend it"
    assert "" == _told(b.edit("notes.md")), "it was told that once"

    file.write_text(f"{good}  claim_timeout: soon\n")
    other = f"{file}:3: session_coordination.claim_timeout"
    seconds_until("what changed is told", lambda: other in _told(b.edit("notes.md")), 3)

    file.write_text(good)
    seconds_until("it is mended", lambda: not both.bob.status(here.bobs)["problems"], 3)


def test_of_another_repositorys_settings_only_who_asks_for_everything_is_told(
    both: Pair, tmp_path: Path
) -> None:
    here = shop(tmp_path / "one")
    other = repository(tmp_path / "secret client", {"coordination.yaml": "colour: blue\n"})
    assert both.alice.status(other)["problems"]

    everything = both.alice.scoord("status", "--all", "--json", cwd=here.alices)

    assert [] == both.alice.status(here.alices)["problems"]
    assert "secret client" in " ".join(json.loads(everything.stdout)["problems"])


def test_an_unknown_key_is_told_with_the_allowed_ones(both: Pair, tmp_path: Path) -> None:
    here = shop(tmp_path, "conflict_acton: warn")
    a = both.alice.session(here.alices)

    told = a.post("SessionStart", source="startup")["systemMessage"]

    assert f"{here.alices / 'coordination.yaml'}:2: " in told
    assert "conflict_acton" in told
    assert "conflict_action" in told.partition("conflict_acton")[2]


def test_while_the_projects_name_cannot_be_read_only_its_file_can_be_edited(
    both: Pair, tmp_path: Path
) -> None:
    here = shop(tmp_path)
    file = here.alices / "coordination.yaml"
    file.write_text("project: [not, a, name]\n")
    a = both.alice.session(here.alices)
    assert (
        f"{file}:1: project: not a name"
        in a.post("SessionStart", source="startup")["systemMessage"]
    )

    denied = refusal(a.edit("auth.py"))
    mended = a.edit("coordination.yaml", "Write")

    assert f"{file}:1: project: not a name" in denied
    assert 1 == len(denied.splitlines())
    assert "" == refusal(mended)
    assert f"{file}:1: project: not a name" in mended["systemMessage"]
    assert "" == refusal(a.edit(here.alices / "file-patterns.yaml"))

    file.write_text("project: mended\n")
    seconds_until("it is mended", lambda: not refusal(a.edit("auth.py")), 3)
    assert ["mended"] == [lock["project"] for lock in both.alice.status(here.alices)["locks"]]


def _told(answer: dict[str, object]) -> str:
    """What the person in front of the session reads."""
    return str(answer.get("systemMessage", ""))
