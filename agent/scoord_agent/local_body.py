"""Typed reading of what the local API is sent; every complaint names the field."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scoord.errors import InvalidRequest

Body = Mapping[str, Any]

MOST_BYTES = 1 << 20
"""Of a request; what a program of ours sends is far below it."""

MOST_S = 366 * 86_400.0
"""No lock is asked for for longer; also NaN and infinity are refused by it."""


async def body_of(request: web.Request) -> Body:
    """Read the request's JSON object. Raises InvalidRequest."""
    try:
        value = json.loads(await request.read())
    except web.HTTPRequestEntityTooLarge as error:
        raise InvalidRequest(f"the request is over {MOST_BYTES >> 20} MiB; ask for less") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the request is not JSON") from error
    if not isinstance(value, dict):
        raise InvalidRequest("the request is not a JSON object")
    return value


def text(body: Body, name: str) -> str:
    """Read a text; an empty one if it is missing. Raises InvalidRequest."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is not a text")
    return value


def texts(body: Body, name: str) -> list[str]:
    """Read a list of texts with something in it. Raises InvalidRequest."""
    value = body.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise InvalidRequest(f"{name} is not a list of texts with something in it")
    return value


def pairs(body: Body, name: str) -> list[tuple[str, str]]:
    """Read a list of pairs of texts; an empty one if it is missing. Raises InvalidRequest."""
    value = body.get(name, [])
    if not isinstance(value, list) or not all(map(_is_pair, value)):
        raise InvalidRequest(f"{name} is not a list of pairs of texts")
    return [(one, other) for one, other in value]


def number(body: Body, name: str) -> int:
    """Read a whole number from 0. Raises InvalidRequest."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise InvalidRequest(f"{name} is not a whole number")
    return value


def seconds(body: Body, name: str) -> float:
    """Read a number of seconds; 0 if it is missing. Raises InvalidRequest."""
    value = body.get(name, 0.0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < MOST_S:
        raise InvalidRequest(f"{name} is not a number of seconds")
    return float(value)


def _is_pair(value: object) -> bool:
    match value:
        case [str(), str()]:
            return True
    return False
