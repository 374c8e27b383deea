"""A Docker with some images and a registry with others, for tests of what stands on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from api.meta import Obj
from client.clock import FakeClock
from kubelet.configuration import Configuration
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import Missing, Refused
from kubelet.images.credentials import Credentials
from kubelet.images.puller import Images
from kubelet.images.pulls import Pulls


class Registry:
    """`private`: image → the password it takes. `gate` holds pulls back while it is not set."""

    def __init__(self, present: set[str] | None, pullable: set[str], private: Mapping[str, str] | None = None) -> None:
        """`present` None: Docker has every image that is asked for."""
        self.present, self.pullable, self.private = present, pullable, dict(private or {})
        self.pulls: list[str] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = "manifest unknown"
        self.broken = ""
        """Why Docker cannot show any image."""
        self.failing: dict[str, Exception] = {}
        """The same of some."""

    async def find(self, reference: str) -> Image | None:
        if self.broken:
            raise Refused(self.broken)
        if reference in self.failing:
            raise self.failing[reference]
        there = self.present is None or reference in self.present
        return Image(f"sha256:{reference}", (), size=7) if there else None

    async def pull(self, reference: str, auth: Mapping[str, str] | None, heard: Callable[[Obj], None]) -> None:
        self.pulls.append(reference)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            heard({"status": "Pulling fs layer", "id": "a"})
            await self.gate.wait()
        finally:
            self.at_once -= 1
        password = self.private.get(reference, "")
        if password and (auth or {}).get("password") != password:
            raise Refused("unauthorized: authentication required")
        if reference not in self.pullable:
            raise Missing(self.error)
        assert self.present is not None
        self.present.add(reference)


def images(
    registry: Registry,
    root: Path,
    clock: FakeClock,
    secrets: Mapping[str, Obj] | None = None,
    configuration: Configuration | None = None,
    warn: Callable[[Obj, str, str], None] = lambda *_: None,
) -> Images:
    docker = cast(DockerImages, cast(Any, registry))

    async def find_secret(namespace: str, name: str) -> Obj | None:
        return (secrets or {}).get(name)

    credentials = Credentials(find_secret, warn, root)
    pulls = Pulls(docker, credentials, root, configuration or Configuration(), clock)
    return Images(docker, credentials, pulls, clock)
