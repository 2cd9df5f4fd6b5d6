"""The server of the Model Context Protocol: lists the tools, calls them, words what goes wrong."""

import asyncio
import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from scoord import local
from scoord.errors import ScoordError
from scoord.text import one_line
from scoord_agent import wording_mcp as wording
from scoord_agent.mcp.aim import Memory
from scoord_agent.mcp.asking import Caller, behind_port, own_parent
from scoord_agent.mcp.coordination import coordination_tools
from scoord_agent.mcp.pipe import answering
from scoord_agent.mcp.tool import Reply, Tool

_log = logging.getLogger(__name__)

NAME = "scoord"

Context = ServerRequestContext[Any, Any]


class Desk:
    """The tools by name, for callers of one process or of many."""

    def __init__(self, own: Caller) -> None:
        self._own = own
        every = (*coordination_tools(), *Memory().tools())
        self._tools: Mapping[str, Tool] = {tool.name: tool for tool in every}

    def server(self) -> Server[Any]:
        """The protocol's side of it."""
        return Server(
            NAME,
            version=version("session-coordinator"),
            title="Session Coordinator",
            instructions=wording.INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(
        self, _context: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(map(_listed, self._tools.values())))

    async def _call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {one_line(params.name, 80)}")
        if params.arguments is None and tool.input_schema.get("required"):
            raise MCPError(types.INVALID_PARAMS, f"No arguments provided for tool: {params.name}")
        caller = await self._caller(context)
        try:
            local.check_utf8(caller.cwd)
            return _result(await tool.run(caller, params.arguments or {}))
        except ScoordError as error:
            return _failed(tool, error)

    async def _caller(self, context: Context) -> Caller:
        """Over stdio the parent; over HTTP whoever the connection comes from."""
        client = getattr(context.request, "client", None)
        if client is None:
            return self._own
        return await asyncio.to_thread(behind_port, client.port, self._own)


def serve_stdio() -> None:
    """Serve the coding CLI that started this process, until it closes the pipe."""
    asyncio.run(_serve_stdio())


async def _serve_stdio() -> None:
    server = Desk(own_parent()).server()
    async with stdio_server() as pipe, answering(*pipe) as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destroys,
            open_world_hint=False,
        ),
    )


def _result(reply: Reply) -> types.CallToolResult:
    content: list[Any] = [types.TextContent(type="text", text=reply.text)]
    return types.CallToolResult(content=content, structured_content=reply.data)


def _failed(tool: Tool, error: ScoordError) -> types.CallToolResult:
    """A result that says what is wrong; the original's tools end in an error of the protocol."""
    message = one_line(error.message, 1000)
    if tool.name.startswith("aim_"):
        raise MCPError(types.INTERNAL_ERROR, message) from error
    content: list[Any] = [types.TextContent(type="text", text=message)]
    return types.CallToolResult(content=content, is_error=True)
