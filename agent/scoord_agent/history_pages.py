"""History, read from the coordinator a page at a time."""

from scoord.v1.history_pb2 import HistoryFilter, ReadHistoryRequest, ReadHistoryResponse
from scoord_agent.coordinator import CoordinatorClient


async def add_page(
    client: CoordinatorClient,
    project: str,
    wanted: HistoryFilter,
    most: int,
    found: ReadHistoryResponse,
) -> bool:
    """Add up to ``most`` lines before those in ``found``, newest first; False when that is all.

    Raises what the coordinator says; what was found before stays.
    """
    request = ReadHistoryRequest(project=project, filter=wanted, limit=most, before=found.before)
    page: ReadHistoryResponse = await client.ask(lambda e: e.history.ReadHistory, request)
    found.events.extend(page.events)
    found.before, found.revision = page.before, found.revision or page.revision
    return bool(page.before)
