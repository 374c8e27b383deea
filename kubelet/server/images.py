"""The node's images, for `sampan image`: what is there, more of them, fewer. All of it is nodes/proxy to who asks.

GET    /images             [{"id": …, "names": […], "size": bytes}, …]
POST   /images/load        the body is what `docker save` writes; streamed to Docker as fast as it takes it
DELETE /images?name=NAME   that name; the image itself goes with its last one
"""

from __future__ import annotations

from aiohttp import web

from api.errors import BadRequest, Conflict, NotFound
from kubelet.docker.images import DockerImages
from kubelet.docker.runtime import Missing, Refused

_CHUNK = 1 << 20


class ImageHandlers:
    def __init__(self, docker: DockerImages) -> None:
        self._docker = docker

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/images", self._list),
            web.post("/images/load", self._load),
            web.delete("/images", self._remove),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        found = await self._docker.all()
        return web.json_response(
            [{"id": image.id, "names": [*image.tags, *image.digests], "size": image.size} for image in found]
        )

    async def _load(self, request: web.Request) -> web.Response:
        try:
            return web.Response(text=await self._docker.load(request.content.iter_chunked(_CHUNK)))
        except Refused as error:
            raise BadRequest(f"Docker did not load it: {error}") from error

    async def _remove(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        try:
            await self._docker.untag(name)
        except Missing as error:
            raise NotFound(str(error)) from error
        except Refused as error:
            raise Conflict(str(error)) from error
        return web.Response()
