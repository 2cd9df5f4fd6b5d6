"""``scoord mcp``: the coordinator's tools for coding agents."""

import click

DEFAULT_ADDRESS = "127.0.0.1:7782"


@click.command()
@click.option(
    "--http",
    "address",
    is_flag=False,
    flag_value=DEFAULT_ADDRESS,
    metavar="[HOST:PORT]",
    help=f"Serve HTTP instead of stdio, on loopback; {DEFAULT_ADDRESS} if none is named.",
)
def mcp(address: str | None) -> None:
    """Serve the Model Context Protocol, for coding agents.

    A coding CLI starts it by itself: `claude mcp add scoord -- scoord mcp`. It has
    tools to see who works on what, to take and give back locks, and the tools of
    mcp-knowledge-graph (aim_search_nodes, ...) on the same state.
    """
    # Here, so that no other command waits for the SDK.
    if address is None:
        from scoord_agent.mcp.server import serve_stdio  # noqa: PLC0415

        serve_stdio()
        return
    from scoord_agent.mcp.http import serve_http  # noqa: PLC0415

    serve_http(address, lambda line: click.echo(line, err=True))
