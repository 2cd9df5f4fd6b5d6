"""What is answered to a line that is no request, without a server."""

import mcp_types as types
import pytest
from pydantic import ValidationError

from scoord_agent.mcp import pipe


def refused(line: str) -> types.JSONRPCError:
    """What goes out for a line that the SDK's transport does not read."""
    with pytest.raises(ValidationError) as caught:
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    message = pipe._refusal(caught.value).message
    assert isinstance(message, types.JSONRPCError)
    return message


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        ('{"jsonrpc": "2.0", "id": 7, "method": 5}', 7),
        ('{"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": "x"}', "a"),
        ('{"jsonrpc": "1.0", "id": 7, "method": "tools/call", "error": {}}', 7),
        ('{"jsonrpc": "2.0", "id": 1.5, "method": 5}', None),
        ('{"jsonrpc": "2.0", "id": 7, "result": 5}', None),
        ("[7]", None),
    ],
)
def test_what_is_no_request_is_refused_under_the_id_that_it_has(
    line: str, request_id: types.RequestId | None
) -> None:
    answer = refused(line)

    assert (request_id, types.INVALID_REQUEST) == (answer.id, answer.error.code)
