"""The local API's part for what people say of sessions, and to them."""

from typing import Any

from aiohttp import web

from scoord_agent.local_api import Routes
from scoord_agent.local_body import Body, body_of, number, text, texts
from scoord_agent.saying import Saying, Speaker

Answer = dict[str, Any]


class SayingApi:
    """Reads what is said, and asks its desk."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying

    def routes(self) -> Routes:
        """What it answers."""
        return {
            ("POST", "/v1/intent"): self._intent,
            ("POST", "/v1/progress"): self._progress,
            ("POST", "/v1/depends"): self._depends,
            ("POST", "/v1/tell"): self._tell,
        }

    async def _intent(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self._saying.intent(_speaker(body), text(body, "text"))

    async def _progress(self, request: web.Request) -> Answer:
        body = await body_of(request)
        percent = number(body, "percent")
        return await self._saying.progress(_speaker(body), percent, text(body, "step"))

    async def _depends(self, request: web.Request) -> Answer:
        body = await body_of(request)
        # Nobody has to be said: a list that was forgotten must not clear what is known.
        names = [] if body.get("none") is True else texts(body, "on")
        return await self._saying.depends(_speaker(body), names)

    async def _tell(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self._saying.tell(_speaker(body), text(body, "to"), text(body, "text"))


def _speaker(body: Body) -> Speaker:
    return Speaker(text(body, "cwd"), number(body, "pid"), text(body, "session"))
