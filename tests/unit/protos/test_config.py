"""What is loaded, and from where."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from scoord.config import load, project_name
from scoord.patterns import Patterns
from scoord.sections import SECTIONS
from support.settings import Place

ROOT = Path(__file__).resolve().parents[3]
SEED = Path(__file__).parent / "data" / "coordination.yaml"


# What is loaded.


def test_the_files_of_earlier_users_load_unchanged(place: Place) -> None:
    place.file(SEED.read_bytes())

    loaded = place.load()

    assert loaded.session_coordination.model_dump() == {
        "auto_register": True,
        "session_timeout": 7200,
        "heartbeat_interval": 300,
        "enable_file_locks": True,
        "lock_timeout": 3600,
        "critical_files": ("*.py", "*.js", "*.yaml", "*.json"),
        "conflict_action": "block",
        "show_notifications": True,
        "kg_context": "tts_app_coordination",
        "kg_location": "project",
        "auto_cleanup_stale": True,
        "archive_completed": True,
        "retention_days": 7,
        "unreachable_action": "warn",
        "scope": "repository",
        "release_on": "session_end",
        "claim_timeout": 20,
        "share_prompts": True,
    }
    assert [True, True, False] == [loaded.patterns.locks(f) for f in ("a.py", "x/b.json", "c.md")]


@pytest.mark.parametrize(
    ("pattern", "may"),
    [("*.md", False), ("*.py", True), ("/docs/", True), ("api/**", True), ("web/*.ts", False)],
)
def test_a_pattern_may_hold_what_is_locked_as_far_as_its_text_tells(
    pattern: str, *, may: bool
) -> None:
    assert may == Patterns(lock=("*.py", "/api/*.go", "!vendor.md")).may_lock(pattern)


def test_without_files_the_defaults_hold_and_every_file_is_locked(place: Place) -> None:
    loaded = place.load()

    assert loaded.project is None
    assert (loaded.session_coordination.conflict_action, loaded.leases.ttl) == ("block", 30)
    assert loaded.coordinator.addresses == ("127.0.0.1:7780",)
    assert loaded.patterns.locks("any/file.md")


@pytest.mark.parametrize(
    "text", ["", "# a comment\n", "---\n", "session_coordination:\n", "\ufeff"]
)
def test_an_empty_file_says_nothing(place: Place, text: str) -> None:
    place.file(text)

    assert place.load() == load(None, place.user, {})


def test_settings_do_not_change(place: Place) -> None:
    loaded = place.load()

    with pytest.raises(FrozenInstanceError):
        loaded.project = "other"  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(ValidationError):
        loaded.leases.ttl = 1.0


def test_each_layer_overrides_those_before_it(place: Place) -> None:
    key = "conflict_action"
    seen = [place.load().session_coordination.conflict_action]
    place.file(f"session_coordination: {{{key}: warn}}")
    seen.append(place.load().session_coordination.conflict_action)
    place.file(f"session_coordination: {{{key}: proceed}}", user=True)
    seen.append(place.load().session_coordination.conflict_action)
    environ = {"SCOORD_CONFLICT_ACTION": "block"}
    seen.append(place.load(environ).session_coordination.conflict_action)

    assert seen == ["block", "warn", "proceed", "block"]


def test_layers_are_laid_over_each_other_key_by_key(place: Place) -> None:
    place.file("session_coordination: {lock_timeout: 900, share_prompts: no}")
    place.file("session_coordination: {lock_timeout: 1800}", user=True)

    session = place.load().session_coordination

    assert (session.lock_timeout, session.share_prompts) == (1800, False)


def test_variables_are_read_as_their_settings_want(place: Place) -> None:
    loaded = place.load(
        {
            "SCOORD_LEASES_TTL": "60",
            "SCOORD_COORDINATOR_ADDRESSES": "one:7780, [::1]:7781",
            "SCOORD_COORDINATOR_INSECURE": "yes",
            "SCOORD_CRITICAL_FILES": "*.py,docs/",
            "SCOORD_RETENTION_DAYS": "30",
            "SCOORD_KG_CONTEXT": "123",
            "SCOORD_SHARE_PROMPTS": "Off",
        }
    )

    assert loaded.leases.ttl == 60.0
    assert loaded.coordinator.addresses == ("one:7780", "[::1]:7781")
    assert loaded.coordinator.insecure
    assert loaded.session_coordination.critical_files == ("*.py", "docs/")
    assert loaded.session_coordination.retention_days == 30
    assert loaded.session_coordination.kg_context == "123"
    assert not loaded.session_coordination.share_prompts


@pytest.mark.parametrize(
    "name",
    ["STATE_DIR", "INTENT", "TOKEN", "AGENT_PORT", "ETCD_ENDPOINTS", "PROJECT", "LEASES", "DEBUG"],
)
def test_a_variable_that_is_no_setting_is_left_alone(place: Place, name: str) -> None:
    assert place.load() == place.load({f"SCOORD_{name}": "anything"})


def test_an_empty_variable_says_nothing(place: Place) -> None:
    assert place.load() == place.load({"SCOORD_CONFLICT_ACTION": ""})


def test_a_path_may_start_at_home(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    place.file("coordinator: {ca: ~/ca.pem, cert: /c.pem, key: /k.pem}", user=True)

    coordinator = place.load().coordinator

    assert (coordinator.ca, coordinator.cert) == ("/home/someone/ca.pem", "/c.pem")


# The project's name.


def test_a_byte_order_mark_is_skipped(place: Place) -> None:
    place.file("\ufeffproject: ours")

    assert place.load().project == "ours"


@pytest.mark.parametrize("name", ["app", "our team's app", "github.com/org/name", "проект"])
def test_a_repository_may_name_its_project(place: Place, name: str) -> None:
    place.file(f'project: "{name}"')

    assert name == place.load().project


@pytest.mark.parametrize(
    "value",
    ["''", "7", "yes", "[a]", "{a: b}", '"a\\u0000b"', '"a\\nb"', "x" * 201, "", '"\\u202e"'],
)
def test_what_is_no_name_is_refused(place: Place, value: str) -> None:
    file = place.file(f"project: {value}")

    assert f"{file}:1: project: not a name (allowed: text of 1 to" in place.refusal()


@pytest.mark.parametrize("name", ["machine:m1", "root:0a1b2c"])
def test_names_that_are_made_cannot_be_given(place: Place, name: str) -> None:
    place.file(f"project: {name}")

    assert "are reserved" in place.refusal()


def test_a_name_is_found_in_a_file_with_other_faults(place: Place) -> None:
    file = place.file("project: ours\nsession_coordination: {conflict_acton: blok}")

    assert project_name(file) == "ours"


def test_a_users_file_names_no_project(place: Place) -> None:
    file = place.file("project: ours", user=True)

    assert place.refusal().startswith(f"{file}:1: project: only a repository's own")


# Which files are locked.


def test_patterns_are_those_of_gitignore(place: Place) -> None:
    place.file("session_coordination: {critical_files: ['*.py', 'docs/', '!docs/x.md', '/top']}")
    locks = place.load().patterns.locks

    assert [f for f in ("a.py", "d/e/A.PY", "docs/r.md", "top") if not locks(f)] == []
    assert [f for f in ("a.txt", "docs/x.md", "sub/top", "a.pyc") if locks(f)] == []


@pytest.mark.parametrize(
    ("pattern", "is_ignored"),
    [
        ("dist/**", True),
        ("dist/", True),
        ("/dist/*.js", True),
        ("**/*.lock", True),
        ("docs/**", False),
        ("*", False),
    ],
)
def test_a_pattern_is_ignored_if_all_that_it_matches_is(
    place: Place, pattern: str, *, is_ignored: bool
) -> None:
    place.file('ignore: ["dist/", "*.lock", "docs/*.md"]\n', patterns=True)

    assert place.load().patterns.ignores(pattern) == is_ignored


def test_patterns_of_both_files_add_up_and_what_is_ignored_wins(place: Place) -> None:
    place.file("session_coordination: {critical_files: ['*.py']}")
    place.file("lock: ['*.md']\nignore: ['*_pb2.py', vendor/]", patterns=True)
    place.file("lock: ['*.txt']\nignore: ['*.tmp.md']", patterns=True, user=True)
    locks = place.load().patterns.locks

    assert [f for f in ("a.py", "a.md", "a.txt") if not locks(f)] == []
    assert [f for f in ("a_pb2.py", "vendor/a.py", "b.tmp.md", "a.js") if locks(f)] == []


def test_no_critical_files_is_no_locks(place: Place) -> None:
    place.file("session_coordination: {critical_files: []}")

    assert not place.load().patterns.locks("a.py")


@pytest.mark.parametrize("spelling", ["src/über.py", "SRC/U\u0308BER.PY", "src/u\u200dber.PY"])
def test_every_spelling_of_a_file_is_locked_alike(place: Place, spelling: str) -> None:
    place.file("session_coordination: {critical_files: ['Src/Über.py', /SRC/UBER.py]}")

    assert place.load().patterns.locks(spelling)


def test_files_outside_any_repository_are_matched_too(place: Place) -> None:
    place.file("ignore: ['/tmp/']", patterns=True, user=True)
    locks = load(None, place.user, {}).patterns.locks

    assert [True, False] == [locks("/home/u/a.py"), locks("/tmp/x/a.py")]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("lock: '*'", 1, "lock: '*' is not allowed (allowed: a list of gitignore-style patterns)"),
        ("lock: []\nignores: []", 2, "ignores: unknown key; did you mean ignore? (allowed: lock,"),
        ("ignore:\n  - a\n  - '!'", 3, "ignore: '!' is not a pattern"),
    ],
)
def test_wrong_patterns_are_refused_at_their_line(
    place: Place, text: str, line: int, said: str
) -> None:
    file = place.file(text, patterns=True)

    refusal = place.refusal()

    assert refusal.startswith(f"{file}:{line}: ")
    assert said in refusal


# What the documentation says.


def test_the_example_in_the_documentation_holds_every_key_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    defaults = {name: model() for name, model in SECTIONS.items()}
    without_default = {"ca", "cert", "key"}

    assert example.pop("project") == "our-app"
    for name, model in defaults.items():
        expected = model.model_dump(mode="json")
        assert expected.keys() == example[name].keys()
        assert {key: value for key, value in expected.items() if key not in without_default} == {
            key: value for key, value in example[name].items() if key not in without_default
        }


def test_the_documentation_explains_every_key() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| `")]

    for model in SECTIONS.values():
        assert [] == [k for k in model.model_fields if not any(f"`{k}`" in r for r in rows)]


def test_a_repository_names_its_areas_and_where_its_work_is(place: Place) -> None:
    place.file(
        """
        areas:
          api:
            patterns: ["src/api/**", "tests/api/"]
            description: what others call
          web: {patterns: [web/]}
        tasks: [TODO.md, planning/issues.json]
        """
    )
    loaded = place.load()

    assert {"api": "what others call", "web": ""} == {
        name: area.description for name, area in loaded.areas.items()
    }
    assert ("src/api/**", "tests/api/") == loaded.areas["api"].patterns
    assert ("TODO.md", "planning/issues.json") == loaded.tasks


def test_without_areas_there_are_none(place: Place) -> None:
    place.file("areas:\ntasks:\n")
    loaded = place.load()

    assert ({}, ()) == (loaded.areas, loaded.tasks)
