import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.errors import InvalidConfig
from scoord_hooks.json_text import Document


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('{"a": 1}', '{"a": 1, "b": {"c": [2]}}'),
        ("{}", '{\n  "b": {\n    "c": [\n      2\n    ]\n  }\n}'),
        (
            '{\n    "a": 1.50\n}\n',
            '{\n    "a": 1.50,\n    "b": {\n        "c": [\n            2\n        ]\n    }\n}\n',
        ),
        (
            '{\n\t"a": 1\n}',
            '{\n\t"a": 1,\n\t"b": {\n\t\t"c": [\n\t\t\t2\n\t\t]\n\t}\n}',
        ),
        (
            '{\r\n  "a": 1\r\n}\r\n',
            '{\r\n  "a": 1,\r\n  "b": {\r\n    "c": [\r\n      2\r\n    ]\r\n  }\r\n}\r\n',
        ),
    ],
    ids=["one line", "empty", "four spaces", "tabs", "CRLF"],
)
def test_a_new_member_is_written_as_its_neighbours_are(text: str, changed: str) -> None:
    document = Document.parse(text, "x").with_member((), "b", {"c": [2]})
    assert document.text == changed
    assert document.without(("b",)).text == text


def test_an_item_is_put_last_and_what_stands_before_stays() -> None:
    text = '{\n  "a": [ 1,2 ,\t{"x" :3e0} ],\n  "b": "\\u00e9"\n}'
    document = Document.parse(text, "x").with_item(("a",), "ü")
    assert document.text == '{\n  "a": [ 1,2 ,\t{"x" :3e0}, "ü" ],\n  "b": "\\u00e9"\n}'


def test_a_member_that_exists_is_replaced_in_its_place() -> None:
    document = Document.parse('{"a":{"b":  1  , "c":2}}', "x").with_member(("a",), "b", "new")
    assert document.text == '{"a":{"b":  "new"  , "c":2}}'


@pytest.mark.parametrize(
    ("place", "left"),
    [
        (("a",), '{"b": [1, 2, 3]}'),
        (("b",), '{"a": {"x": 1}}'),
        (("b", 0), '{"a": {"x": 1}, "b": [2, 3]}'),
        (("b", 1), '{"a": {"x": 1}, "b": [1, 3]}'),
        (("b", 2), '{"a": {"x": 1}, "b": [1, 2]}'),
        (("a", "x"), '{"a": {}, "b": [1, 2, 3]}'),
    ],
)
def test_what_is_taken_out_takes_its_comma_along(place: tuple[str | int, ...], left: str) -> None:
    document = Document.parse('{"a": {"x": 1}, "b": [1, 2, 3]}', "x")
    assert document.without(place).text == left


def test_of_a_name_given_twice_the_last_counts() -> None:
    document = Document.parse('{"a": 1, "a": 2}', "x")
    assert document.value(("a",)) == 2
    assert document.with_member((), "a", 3).text == '{"a": 1, "a": 3}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{\n  "a": 1,\n}', "x.json:3:1: not valid JSON"),
        ('{"a": 1} // why', "x.json:1:10: not valid JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[]", "must hold one JSON object"),
        ("", "x.json:1:1: not valid JSON"),
        ('{"a":' * 100_000, "x.json: nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        Document.parse(text, "x.json")
    assert complaint in refused.value.message
    assert refused.value.message.endswith("nothing was changed")


WORDS = st.text(alphabet='ab"\\/{}[],: \n\tü😀', max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
INDENTS = st.sampled_from([None, 0, 1, 2, 4, "\t"])


@given(st.dictionaries(WORDS, VALUES, max_size=4), INDENTS, st.booleans(), WORDS, VALUES)
def test_only_the_member_that_is_set_changes(
    values: dict[str, object], indent: int | str | None, ascii_only: bool, name: str, value: object
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    document = Document.parse(text, "x")
    changed = document.with_member((), name, value)
    assert json.loads(changed.text) == {**values, name: value}
    if name not in values:
        assert changed.without((name,)).text == text
