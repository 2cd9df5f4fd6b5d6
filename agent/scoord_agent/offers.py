"""Has the coordinator keep work for a session: the one place that asks for it."""

from collections.abc import Iterable

from scoord.ids import ProjectId, SessionId
from scoord.v1.tasks_pb2 import OfferRequest
from scoord.v1.tasks_pb2 import Work as Named
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_agent.taking import PATIENCE_S


async def offer(
    client: CoordinatorClient,
    session_id: SessionId,
    project: ProjectId,
    works: Iterable[Named],
    *,
    count: int,
    lasts_s: float,
    keeps_rest: bool = False,
    keeps_nothing: bool = False,
) -> set[tuple[str, str]]:
    """Which of ``works``, by kind and name, are kept for the session now.

    They are the first ``count`` that nobody else was offered; what else it was offered is
    let go, unless ``keeps_rest``. With ``keeps_nothing``, which would be kept. Raises what the
    coordinator says.
    """
    request = OfferRequest(
        request_id=new_request_id(),
        project=project,
        session_id=session_id,
        candidates=works,
        count=count,
        lasts=seconds(lasts_s),
        keeps_rest=keeps_rest,
        keeps_nothing=keeps_nothing,
    )
    answer = await client.ask(lambda e: e.tasks.Offer, request, PATIENCE_S)
    return {(work.kind, work.name) for work in answer.offered}
