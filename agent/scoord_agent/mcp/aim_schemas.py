"""The names and input shapes of mcp-knowledge-graph, as its users' prompts and scripts have them.

Both sets of names: ``aim_create_entities`` and its kind (up to 1.2), and
``aim_memory_store`` and its kind (from 1.3 on).
"""

from typing import Any, Final

Schema = dict[str, Any]

NEWER: Final = {
    "aim_create_entities": "aim_memory_store",
    "aim_create_relations": "aim_memory_link",
    "aim_add_observations": "aim_memory_add_facts",
    "aim_delete_entities": "aim_memory_forget",
    "aim_delete_observations": "aim_memory_remove_facts",
    "aim_delete_relations": "aim_memory_unlink",
    "aim_read_graph": "aim_memory_read_all",
    "aim_search_nodes": "aim_memory_search",
    "aim_open_nodes": "aim_memory_get",
    "aim_list_databases": "aim_memory_list_stores",
}
"""The later name of each tool."""

_TEXT: Final[Schema] = {"type": "string"}
_CONTEXT: Final[Schema] = {
    "context": {
        "type": "string",
        "description": "Name of the database. This project has one, so it may be left out.",
    },
    "location": {
        "type": "string",
        "enum": ["project", "global"],
        "description": "Where the database is; may be left out.",
    },
}
_FORMAT: Final[Schema] = {
    "format": {
        "type": "string",
        "enum": ["json", "pretty"],
        "description": "Output format: json (default), or pretty for people.",
    }
}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}


def _record(**descriptions: str | Schema) -> Schema:
    properties = {
        name: {**_TEXT, "description": what} if isinstance(what, str) else what
        for name, what in descriptions.items()
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _arguments(required: str, shape: Schema, **more: Schema) -> Schema:
    properties = {**_CONTEXT, required: shape, **more}
    return {"type": "object", "properties": properties, "required": [required]}


_RELATION: Final = _record(
    **{
        "from": "The name of the entity where the relation starts",
        "to": "The name of the entity where the relation ends",
        "relationType": "The type of the relation",
    }
)

SCHEMAS: Final[dict[str, Schema]] = {
    "aim_create_entities": _arguments(
        "entities",
        _list(
            _record(
                name="The name of the entity",
                entityType="The type of the entity",
                observations=_list(_TEXT, "Observation contents associated with the entity"),
            ),
            "The entities to create",
        ),
    ),
    "aim_create_relations": _arguments("relations", _list(_RELATION, "The relations to create")),
    "aim_add_observations": _arguments(
        "observations",
        _list(
            _record(
                entityName="The name of the entity to add the observations to",
                contents=_list(_TEXT, "Observation contents to add"),
            ),
            "The observations to add",
        ),
    ),
    "aim_delete_entities": _arguments(
        "entityNames", _list(_TEXT, "Names of the entities to delete")
    ),
    "aim_delete_observations": _arguments(
        "deletions",
        _list(
            _record(
                entityName="The name of the entity containing the observations",
                observations=_list(_TEXT, "Observations to delete"),
            ),
            "The observations to delete",
        ),
    ),
    "aim_delete_relations": _arguments("relations", _list(_RELATION, "The relations to delete")),
    "aim_read_graph": {"type": "object", "properties": {**_CONTEXT, **_FORMAT}},
    "aim_search_nodes": _arguments(
        "query",
        {
            **_TEXT,
            "description": "Matched against entity names, types and observation contents,"
            " e.g. 'lock_' or 'active_session'",
        },
        **_FORMAT,
    ),
    "aim_open_nodes": _arguments(
        "names", _list(_TEXT, "Names of the entities to retrieve"), **_FORMAT
    ),
    "aim_list_databases": {"type": "object", "properties": {}},
}

_LIVE: Final = (
    " Live sessions (active_session_…) and locks (lock_PATH) are entities of it, and always as they"
    " are now."
)

DESCRIPTIONS: Final = {
    "aim_create_entities": "Write entities down in this project's knowledge graph, for all of its"
    " sessions. Names that exist are left as they are. Sessions and locks are not written down:"
    " use `claim` to take a lock.",
    "aim_create_relations": "Write relations between entities down in this project's knowledge"
    " graph. Relations should be in active voice.",
    "aim_add_observations": "Add observations to entities that were written down in this project's"
    " knowledge graph.",
    "aim_delete_entities": "Delete entities and their relations from this project's knowledge"
    " graph. Deleting a lock (lock_PATH) breaks it: its holder is told, and it is recorded. A live"
    " session cannot be deleted.",
    "aim_delete_observations": "Delete observations that were written down in this project's"
    " knowledge graph.",
    "aim_delete_relations": "Delete relations that were written down in this project's knowledge"
    " graph.",
    "aim_read_graph": f"Read all of this project's knowledge graph.{_LIVE}",
    "aim_search_nodes": f"Search this project's knowledge graph.{_LIVE}",
    "aim_open_nodes": f"Read entities of this project's knowledge graph by their names.{_LIVE}",
    "aim_list_databases": "List the databases of this project's knowledge graph: there is one.",
}

READS_ONLY: Final = frozenset(
    {"aim_read_graph", "aim_search_nodes", "aim_open_nodes", "aim_list_databases"}
)
DESTROYS: Final = frozenset(
    {"aim_delete_entities", "aim_delete_observations", "aim_delete_relations"}
)
