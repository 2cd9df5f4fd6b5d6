"""Settings as each source gives them, checked where they are given, and laid over each other.

A wrong value is refused even if a stronger source overrides it: the one who wrote
it is told now, and not on the day the other one goes. It knows the form of the
models it is given, and no setting by name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from scoord.errors import InvalidConfig
from scoord.faults import gathered, refuse
from scoord.text import one_line
from scoord.yamlfile import Value

_YES_AND_NO = {  # the words of YAML 1.1, as in the files
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_BARE_SECTION = "session_coordination"
"""The section whose keys have no prefix outside files."""

_LARGEST_SHOWN = 10**18
_KINDS: Mapping[type, str] = {dict: "mapping", tuple: "list"}

Sections = Mapping[str, type[BaseModel]]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that someone gave, and where."""

    value: object
    where: str
    """``file:line``, or a variable; for messages."""
    items: tuple[str, ...] = ()
    """Where each item of a list is, if that is more exact."""
    said: str = ""
    """How it was written, if that may look otherwise than the value: ``no`` is false."""


Layer = Mapping[tuple[str, str], Given]
"""What one source gives, by section and key."""


def from_file(sections: Sections, fields: Mapping[str, Value], beside: Iterable[str] = ()) -> Layer:
    """Return what a file gives; ``beside`` names keys it may have next to the sections.

    Raises InvalidConfig for unknown keys and wrong values.
    """
    named = [*sections, *beside]
    sources = (partial(_section, sections, named, name, value) for name, value in fields.items())
    return merged(gathered(sources))


def from_environment(sections: Sections, environ: Mapping[str, str]) -> Layer:
    """Return what ``SCOORD_*`` variables give; other variables of that form are others'.

    An empty variable gives nothing. Raises InvalidConfig for wrong values.
    """
    return merged(
        gathered(partial(_from_variables, name, model, environ) for name, model in sections.items())
    )


def variable(section: str, key: str) -> str:
    """Return the variable that sets a setting: ``SCOORD_LEASES_TTL``."""
    prefix = "SCOORD_" if section == _BARE_SECTION else f"SCOORD_{section.upper()}_"
    return f"{prefix}{key.upper()}"


def merged(layers: Iterable[Layer]) -> Layer:
    """Return all layers as one; a later one overrides those before it."""
    result: dict[tuple[str, str], Given] = {}
    for layer in layers:
        result |= layer
    return result


def _section(sections: Sections, named: Iterable[str], name: str, value: Value) -> Layer:
    """Return what a section of a file gives; ``named`` are those that there may be."""
    model = sections.get(name)
    if model is None:
        raise _unknown(value.where, name, named, _home_of(name, sections))
    if value.fields is None and value.data is not None:
        raise InvalidConfig(f"{value.where}: {name}: want settings below it (key: value)")
    fields = value.fields or {}
    given = {
        key: Given(each.data, each.where, each.items, each.said) for key, each in fields.items()
    }
    return _checked(name, model, given)


def _from_variables(name: str, model: type[BaseModel], environ: Mapping[str, str]) -> Layer:
    """Return what variables give to one section."""
    variables = {key: variable(name, key) for key in model.model_fields}
    given = {
        key: Given(_from_text(model.model_fields[key], environ[each]), each)
        for key, each in variables.items()
        if environ.get(each)
    }
    return _checked(name, model, given)


def _checked(section: str, model: type[BaseModel], given: Mapping[str, Given]) -> Layer:
    """Return it as a layer. Raises InvalidConfig about all that is wrong, in the order given."""
    refuse(_faults(section, model, given))
    return {(section, key): each for key, each in given.items()}


def _faults(
    section: str, model: type[BaseModel], given: Mapping[str, Given]
) -> Iterator[InvalidConfig]:
    errors = _errors(model, {key: g.value for key, g in given.items() if key in model.model_fields})
    for key, source in given.items():
        if key not in model.model_fields:
            yield _unknown(source.where, _label(section, key), model.model_fields)
        yield from (_wrong(section, model, given, e) for e in errors if e["loc"][0] == key)


def _errors(model: type[BaseModel], values: Mapping[str, object]) -> list[ErrorDetails]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A list whose items are wrong is called too short for what is left of it, too.
        of_items = {each["loc"][0] for each in found if len(each["loc"]) > 1}
        return [each for each in found if len(each["loc"]) > 1 or each["loc"][0] not in of_items]
    return []


def _wrong(
    section: str, model: type[BaseModel], given: Mapping[str, Given], error: ErrorDetails
) -> InvalidConfig:
    key, *inner = error["loc"]
    source = given[str(key)]
    index = inner[0] if inner else None
    where = source.items[index] if isinstance(index, int) and source.items else source.where
    allowed = model.model_fields[str(key)].description
    said = error.get("ctx", {}).get("error")
    what = (
        one_line(str(said)) if said else f"{_described(error['input'], source.said)} is not allowed"
    )
    return InvalidConfig(f"{where}: {_label(section, str(key))}: {what} (allowed: {allowed})")


def _unknown(where: str, label: str, allowed: Iterable[str], home: str = "") -> InvalidConfig:
    names = list(allowed)
    near = get_close_matches(label.rpartition(".")[2], names, n=1)
    hint = f"; it belongs below {home}" if home else f"; did you mean {near[0]}?" if near else ""
    shown = one_line(label, 80)
    return InvalidConfig(f"{where}: {shown}: unknown key{hint} (allowed: {', '.join(names)})")


def _home_of(key: str, sections: Sections) -> str:
    return next((name for name, model in sections.items() if key in model.model_fields), "")


def _label(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _described(value: object, said: str) -> str:
    """Return a value as its giver wrote it, as far as that is known and short."""
    match value:
        case None:
            return "nothing"
        case bool():
            return said or ("true" if value else "false")
        case int() if abs(value) > _LARGEST_SHOWN:
            return "a number as large as that"
        case int() | float() | str():
            return one_line(repr(value), 80)
        case []:
            return "an empty list"
    # Never as text: aliases in YAML can make a small list endless.
    return f"a {_KINDS.get(type(value), type(value).__name__)}"


def _from_text(field: FieldInfo, text: str) -> object:
    """Read a value from text as its setting wants it; left as text if it does not fit."""
    kind = field.annotation
    if kind is bool:
        return _YES_AND_NO.get(text.lower(), text)
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is float or kind is int:
        try:
            return kind(text)
        except ValueError:
            return text
    return text
