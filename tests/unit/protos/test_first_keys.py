"""Every key of the first version's file acts somewhere, and a test says so."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
SEED = Path(__file__).parent / "data" / "coordination.yaml"
ROW = re.compile(r"^\| `(\w+)` \| `([\w/.]+\.py)` \| `(test_\w+)` \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return {key: (file, test) for key, file, test in ROW.findall(page)}


def test_the_page_names_every_key_of_the_first_versions_file() -> None:
    keys = yaml.safe_load(SEED.read_text(encoding="utf-8"))["session_coordination"]
    assert set(keys) == set(rows())


def test_the_key_is_read_where_the_page_says_and_the_test_is_there() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    for key, (file, test) in rows().items():
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"\.{key}\b|\"{key}\"", source), f"{file} does not read {key}"
        assert re.search(rf"^(async )?def {test}\(", tests, re.MULTILINE), test
