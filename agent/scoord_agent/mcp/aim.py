"""The tools of mcp-knowledge-graph on the coordinator's state, with their inputs and outputs.

They answer with text alone, failures are errors of the protocol, as the original's are.
What was shown of a lock is remembered: deleting it breaks that grant, and no later one.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from scoord.bounded import BoundedDict
from scoord.errors import InvalidRequest
from scoord.graph_limits import LOCK
from scoord_agent import wording_mcp as wording
from scoord_agent.cli.graph_formats import clean, entity_line, relation_line
from scoord_agent.graph_shapes import (
    DeletionShape,
    EntityShape,
    FactsShape,
    RelationShape,
    Text,
    batches,
    check,
)
from scoord_agent.mcp.aim_schemas import DESCRIPTIONS, DESTROYS, NEWER, READS_ONLY, SCHEMAS
from scoord_agent.mcp.asking import Answer, Caller, ask
from scoord_agent.mcp.tool import Arguments, Reply, Tool

_MOST_SEEN: Final = 5000
_CONTEXT: Final = re.compile(r"[A-Za-z0-9._-]+")


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)


class _Entities(_Shape):
    entities: list[EntityShape]


class _Relations(_Shape):
    relations: list[RelationShape]


class _Observations(_Shape):
    observations: list[FactsShape]


class _Names(_Shape):
    names: list[Text] = Field(alias="entityNames")


class _Deletions(_Shape):
    deletions: list[DeletionShape]


class _Opened(_Shape):
    names: list[Text]


class _Query(_Shape):
    query: Text


class Memory:
    """The tools, and what was shown to whom of the locks there are."""

    def __init__(self) -> None:
        self._seen: BoundedDict[tuple[int, str], list[int]] = BoundedDict(_MOST_SEEN)

    def tools(self) -> tuple[Tool, ...]:
        """Every tool, under both of its names."""
        runs: Mapping[str, Callable[[Caller, Arguments], Awaitable[str]]] = {
            "aim_create_entities": self._create_entities,
            "aim_create_relations": self._create_relations,
            "aim_add_observations": self._add_observations,
            "aim_delete_entities": self._delete_entities,
            "aim_delete_observations": self._delete_observations,
            "aim_delete_relations": self._delete_relations,
            "aim_read_graph": self._read_graph,
            "aim_search_nodes": self._search_nodes,
            "aim_open_nodes": self._open_nodes,
            "aim_list_databases": self._list_databases,
        }
        return tuple(
            _tool(name, old, run) for old, run in runs.items() for name in (old, NEWER[old])
        )

    # -- to read --------------------------------------------------------------------

    async def _read_graph(self, caller: Caller, arguments: Arguments) -> str:
        graph = await self._graph(caller, arguments)
        return self._written(caller, arguments, graph, graph["entities"], graph["relations"])

    async def _search_nodes(self, caller: Caller, arguments: Arguments) -> str:
        query = check(_Query, dict(arguments)).query.lower()
        graph = await self._graph(caller, arguments)
        return self._shown(caller, arguments, graph, lambda row: query in _words(row))

    async def _open_nodes(self, caller: Caller, arguments: Arguments) -> str:
        names = frozenset(check(_Opened, dict(arguments)).names)
        graph = await self._graph(caller, arguments)
        return self._shown(caller, arguments, graph, lambda row: row["name"] in names)

    async def _list_databases(self, caller: Caller, _arguments: Arguments) -> str:
        graph = await _read(caller)
        name, is_global = graph["context"], graph["location"] == "global"
        said = "global (kg_location)" if is_global else "project (kg_location)"
        return _json(
            {
                "project_databases": [] if is_global else [name],
                "global_databases": [name] if is_global else [],
                "current_location": said,
            }
        )

    # -- to write -------------------------------------------------------------------

    async def _create_entities(self, caller: Caller, arguments: Arguments) -> str:
        wanted = check(_Entities, dict(arguments)).entities
        await self._graph(caller, arguments)
        added = await _add(caller, "entities", wanted)
        return _json([_without_type(entity_line(row)) for row in added])

    async def _create_relations(self, caller: Caller, arguments: Arguments) -> str:
        wanted = check(_Relations, dict(arguments)).relations
        await self._graph(caller, arguments)
        added = await _add(caller, "relations", wanted)
        return _json([_without_type(relation_line(row)) for row in added])

    async def _add_observations(self, caller: Caller, arguments: Arguments) -> str:
        wanted = check(_Observations, dict(arguments)).observations
        await self._graph(caller, arguments)
        added = await _add(caller, "observations", wanted)
        return _json(
            [
                {"entityName": row["entityName"], "addedObservations": row["contents"]}
                for row in added
            ]
        )

    async def _delete_entities(self, caller: Caller, arguments: Arguments) -> str:
        names = check(_Names, dict(arguments)).names
        graph = await self._graph(caller, arguments)
        seen = {name: self._seen[caller.pid, name] for name in names if self._saw(caller, name)}
        try:
            await _remove(caller, entities=names, seen=seen)
        finally:
            # What is there now, the next one has been told of.
            self._remember(caller, [row for row in graph["entities"] if row["name"] in seen])
        return "Entities deleted successfully"

    async def _delete_observations(self, caller: Caller, arguments: Arguments) -> str:
        unwanted = check(_Deletions, dict(arguments)).deletions
        await self._graph(caller, arguments)
        await _remove(caller, observations=[each.model_dump(by_alias=True) for each in unwanted])
        return "Observations deleted successfully"

    async def _delete_relations(self, caller: Caller, arguments: Arguments) -> str:
        unwanted = check(_Relations, dict(arguments)).relations
        await self._graph(caller, arguments)
        await _remove(caller, relations=[each.model_dump(by_alias=True) for each in unwanted])
        return "Relations deleted successfully"

    # -- steps ----------------------------------------------------------------------

    async def _graph(self, caller: Caller, arguments: Arguments) -> Answer:
        """The graph, if the database that is asked for is this project's."""
        _check_context(arguments)
        graph = await _read(caller)
        context, location = arguments.get("context"), arguments.get("location")
        if context not in (None, "default", graph["context"]):
            raise InvalidRequest(wording.unknown_context(str(context), graph["context"]))
        if location not in (None, graph["location"]):
            raise InvalidRequest(wording.wrong_location(str(location), graph["location"]))
        return graph

    def _shown(
        self, caller: Caller, arguments: Arguments, graph: Answer, wanted: Callable[[Answer], bool]
    ) -> str:
        """Some of it; as the original has it, a relation comes with both of its ends."""
        entities = [row for row in graph["entities"] if wanted(row)]
        names = {row["name"] for row in entities}
        relations = [row for row in graph["relations"] if {row["from"], row["to"]} <= names]
        return self._written(caller, arguments, graph, entities, relations)

    def _written(
        self,
        caller: Caller,
        arguments: Arguments,
        graph: Answer,
        entities: list[Answer],
        relations: list[Answer],
    ) -> str:
        self._remember(caller, entities)
        if arguments.get("format") == "pretty":
            return pretty(graph["context"], entities, relations)
        rows = {
            "entities": list(map(entity_line, entities)),
            "relations": list(map(relation_line, relations)),
        }
        return _json(rows)

    def _remember(self, caller: Caller, entities: list[Answer]) -> None:
        for row in entities:
            if row["entityType"] == LOCK and row["tokens"]:
                self._seen[caller.pid, row["name"]] = row["tokens"]

    def _saw(self, caller: Caller, name: str) -> bool:
        return (caller.pid, name) in self._seen


def pretty(context: str, entities: list[Answer], relations: list[Answer]) -> str:
    """A graph for people, line by line as the original writes it."""
    lines = [f"=== {context} database ===", ""]
    lines.append(f"ENTITIES ({len(entities)}):" if entities else "ENTITIES: (none)")
    for row in entities:
        lines.append(f"  {row['name']} [{row['entityType']}]")
        lines += [f"    - {fact}" for fact in row["observations"]]
    lines.append("")
    lines.append(f"RELATIONS ({len(relations)}):" if relations else "RELATIONS: (none)")
    lines += [f"  {row['from']} --{row['relationType']}--> {row['to']}" for row in relations]
    return "\n".join(lines)


def _tool(name: str, old: str, run: Callable[[Caller, Arguments], Awaitable[str]]) -> Tool:
    async def answer(caller: Caller, arguments: Arguments) -> Reply:
        return Reply(await run(caller, arguments))

    return Tool(
        name,
        name.removeprefix("aim_").replace("_", " "),
        DESCRIPTIONS[old],
        SCHEMAS[old],
        answer,
        reads_only=old in READS_ONLY,
        destroys=old in DESTROYS,
    )


async def _read(caller: Caller) -> Answer:
    return clean(await ask("GET", f"/v1/graph?{urlencode({'cwd': caller.cwd})}"))


async def _add(caller: Caller, kind: str, wanted: Any) -> list[Answer]:
    """Add it in parts that one command may carry."""
    added: list[Answer] = []
    for batch in batches(wanted):
        rows = [shape.model_dump(by_alias=True) for shape in batch]
        body = {"cwd": caller.cwd, "pid": caller.pid, kind: rows}
        added += (await ask("POST", "/v1/graph/add", body))[kind]
    return added


async def _remove(caller: Caller, **what: Any) -> None:
    await ask("POST", "/v1/graph/remove", {"cwd": caller.cwd, "pid": caller.pid, **what})


def _check_context(arguments: Arguments) -> None:
    """In the words of the original, which checks nothing else."""
    if "context" not in arguments:
        return
    context = arguments["context"]
    if not isinstance(context, str) or not context.strip():
        raise InvalidRequest("Invalid context: must be a non-empty string")
    if "/" in context or "\\" in context or ".." in context:
        raise InvalidRequest(
            "Invalid context: must not contain path separators or traversal segments"
        )
    if not _CONTEXT.fullmatch(context):
        raise InvalidRequest('Invalid context: only letters, digits, "_", "-", and "." are allowed')


def _words(row: Answer) -> str:
    return "\n".join((row["name"], row["entityType"], *row["observations"])).lower()


def _without_type(row: Answer) -> Answer:
    return {key: value for key, value in row.items() if key != "type"}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
