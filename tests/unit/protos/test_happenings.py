"""What may happen in a project has one list, which its contract explains."""

import re
from pathlib import Path

import scoord
from scoord.happenings import DETAILS, KINDS, Kind
from scoord.v1.history_pb2 import HistoryFilter
from scoord.v1.records_pb2 import EventRecord


def test_the_kinds_that_can_be_asked_for_are_those_that_the_contract_explains() -> None:
    contract = (Path(scoord.__file__).parent / "v1" / "records.proto").read_text("utf-8")
    explained = contract.partition("message EventRecord {")[2].partition("string kind")[0]

    assert list(dict.fromkeys(re.findall(r'"(\w+)"', explained))) == list(KINDS)


def test_a_kind_is_its_name_in_a_message() -> None:
    line = EventRecord.FromString(EventRecord(kind=Kind.TASK_ADDED).SerializeToString())
    wanted = HistoryFilter(kinds=[Kind.LOST], without_kinds=DETAILS)

    assert ("task_added", Kind.TASK_ADDED) == (line.kind, line.kind)
    assert (["lost"], "branch") == (list(wanted.kinds), wanted.without_kinds[0])
