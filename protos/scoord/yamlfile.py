"""Reads a small YAML file of settings, and remembers the line of every value.

It does not know any setting. Every failure is an InvalidConfig that begins with
``file:line``, and what the file holds is never run, fetched or followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from scoord.errors import InvalidConfig
from scoord.regular import read_regular
from scoord.text import one_line

MOST_BYTES = 64 * 1024
"""Length of a settings file; a longer one is something else."""

_NULL = "tag:yaml.org,2002:null"
_MISMATCHED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Value:
    """One value, and where it was given."""

    data: object
    """As YAML has it: text, number, yes or no, list, or None. An empty dict for any mapping."""
    where: str
    """``file:line``, for messages."""
    items: tuple[str, ...] = ()
    """Where each item of a list is."""
    fields: Mapping[str, "Value"] | None = field(default=None)
    """The values of a mapping, at the two upper levels of the file only; else None."""
    said: str = ""
    """A single word or number as it was written, on one line; else empty."""


def read_yaml(path: Path) -> Mapping[str, Value]:
    """Return the top level of a YAML file; empty if there is no file, or nothing in it.

    Raises InvalidConfig if it cannot be read or is not one mapping with each key once.
    """
    text = _text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None or node.tag == _NULL:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise InvalidConfig(f"{_where(path, node)}: want a mapping of settings (key: value)")
        return _fields(path, node, depth=2)
    except yaml.YAMLError as error:
        raise _not_yaml(path, text, error) from error
    except RecursionError as error:
        raise InvalidConfig(f"{path}:1: not settings: nested too deeply") from error


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode()  # a byte order mark is YAML's to skip
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InvalidConfig(f"{path}:{line}:{column}: not UTF-8") from error


def _bytes(path: Path) -> bytes:
    try:
        data = read_regular(path, MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read: {error.strerror}") from error
    if data is None:
        raise InvalidConfig(f"{path}: cannot be read: not a file")
    if len(data) > MOST_BYTES:
        raise InvalidConfig(f"{path}: over {MOST_BYTES // 1024} KiB; not a file of settings")
    return data


def _fields(path: Path, node: yaml.MappingNode, depth: int, section: str = "") -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key_node, value_node in node.value:
        where = _where(path, key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise InvalidConfig(f"{where}: a key must be one word")
        key = key_node.value
        if key in found:
            shown, first = one_line(key, 60), found[key].where.rpartition(":")[2]
            raise InvalidConfig(f"{where}: {section}{shown}: given twice, first on line {first}")
        found[key] = _value(path, where, value_node, depth, f"{section}{one_line(key, 60)}.")
    return found


def _value(path: Path, where: str, node: yaml.Node, depth: int, section: str) -> Value:
    if isinstance(node, yaml.MappingNode):
        inner = _fields(path, node, depth - 1, section) if depth else {}
        return Value({}, where, fields=inner)
    if isinstance(node, yaml.ScalarNode):
        return Value(_data(where, node), where, said=one_line(node.value, 80))
    items = node.value if isinstance(node, yaml.SequenceNode) else ()
    return Value(_data(where, node), where, tuple(_where(path, item) for item in items))


def _data(where: str, node: yaml.Node) -> object:
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_document(node)
    except _MISMATCHED as error:  # "!!int x": the constructor trusts the tag
        raise InvalidConfig(f"{where}: the value does not fit its tag {node.tag}") from error
    finally:
        constructor.dispose()


def _where(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _not_yaml(path: Path, text: str, error: yaml.YAMLError) -> InvalidConfig:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        return InvalidConfig(f"{path}:{line}:{column}: not YAML: {one_line(error.problem or '')}")
    position = getattr(error, "position", 0)  # of a character that YAML does not allow
    before = text[:position]
    line, column = before.count("\n") + 1, position - before.rfind("\n")
    return InvalidConfig(f"{path}:{line}:{column}: not YAML: a character that is not allowed")
