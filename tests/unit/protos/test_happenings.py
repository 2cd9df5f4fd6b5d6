"""What may happen in a project has one list, which its contract explains."""

import re
from pathlib import Path

import scoord
from scoord.happenings import KINDS


def test_the_kinds_that_can_be_asked_for_are_those_that_the_contract_explains() -> None:
    contract = (Path(scoord.__file__).parent / "v1" / "records.proto").read_text("utf-8")
    explained = contract.partition("message EventRecord {")[2].partition("string kind")[0]

    assert list(dict.fromkeys(re.findall(r'"(\w+)"', explained))) == list(KINDS)
