"""Calls tools of an MCP server with the official SDK's client, as a coding CLI does.

The one argument is JSON: ``{"calls": [[name, arguments], ...]}``, with ``url`` and
``token`` for HTTP; without them ``scoord mcp`` is started over stdio. Prints one JSON
list: for each call its text, data and whether it failed, or the error that was raised.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def client(order: dict[str, Any]) -> AsyncIterator[Client]:
    """A connected client."""
    if "url" not in order:
        scoord = str(Path(sys.executable).parent / "scoord")
        parameters = StdioServerParameters(
            command=scoord, args=["mcp"], env=dict(os.environ), cwd=Path.cwd()
        )
        async with Client(parameters) as made:
            yield made
        return
    headers = {"Authorization": f"Bearer {order['token']}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(order["url"], http_client=http)) as made,
    ):
        yield made


async def call(made: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """One call; ``list_tools`` lists them."""
    if name == "list_tools":
        tools = (await made.list_tools()).tools
        return {"tools": [tool.model_dump(mode="json", by_alias=True) for tool in tools]}
    try:
        result = await made.call_tool(name, arguments)
    except MCPError as error:
        return {"raised": error.code, "text": error.message}
    text = "\n".join(block.text for block in result.content if block.type == "text")
    return {"text": text, "data": result.structured_content, "failed": bool(result.is_error)}


async def main(order: dict[str, Any]) -> None:
    """Make all calls on one connection."""
    async with client(order) as made:
        answers = [await call(made, name, arguments) for name, arguments in order["calls"]]
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
