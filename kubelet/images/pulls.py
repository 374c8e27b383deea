"""Carrying out pulls: a few at once, with one credential after another, noted before and after.

    found, took = await pulls.run(reference, credentials, tell)

RuntimeFailure when no credential brought the image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from pathlib import Path

from client import log
from client.clock import Clock
from kubelet.configuration import Configuration
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import Refused, RuntimeFailure, Unreachable
from kubelet.images import records
from kubelet.images.credentials import Credentials
from kubelet.images.keyring import Credential
from kubelet.images.progress import Progress
from kubelet.images.records import Records
from kubelet.images.reference import Reference

_log = log.get("images")
_TELL_SECONDS = 30.0


class Pulls:
    def __init__(
        self, docker: DockerImages, credentials: Credentials, root: Path, configuration: Configuration, clock: Clock
    ) -> None:
        self._docker, self._credentials, self._clock = docker, credentials, clock
        self._records = Records(root, clock)
        self._verifies = records.verification(
            configuration.image_pull_verification, configuration.preloaded_images_allowed
        )
        most = 1 if configuration.serialize_image_pulls else configuration.max_parallel_image_pulls
        self._turn: AbstractAsyncContextManager[None] = asyncio.Semaphore(most) if most else nullcontext()
        self._loading: asyncio.Task[None] | None = None

    async def may_use(self, found: Image, wanted: Reference, credentials: Sequence[Credential]) -> bool:
        """Whether a pod with these credentials may have an image that is there, without a pull."""
        await self._loaded()
        if not self._verifies(wanted.repository, self._records.is_ours(wanted.name, found.id)):
            return True
        return not records.must_pull(self._records.get(found.id), wanted.repository, credentials)

    async def prune(self, images: Sequence[str], listed_at: datetime) -> None:
        """Forgets what is known of images that are no more: `images` were all there were at that time."""
        await self._loaded()
        await asyncio.to_thread(self._records.prune, images, listed_at)

    async def _loaded(self) -> None:
        """What failed is tried anew by the next who asks."""
        failed = self._loading is not None and self._loading.done() and self._loading.exception() is not None
        if self._loading is None or failed:
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        """What a killed kubelet was pulling and Docker has now, nobody may use without asking the registry. An image
        that Docker cannot show stays noted as being pulled, which comes to the same."""
        for name in await asyncio.to_thread(self._records.load):
            try:
                found = await self._docker.find(name)
                if found is not None:
                    await asyncio.to_thread(self._records.add_unknown, found.id)
                await asyncio.to_thread(self._records.end, name)
            except (Refused, OSError) as error:
                _log.warning("a pull that was interrupted is not looked into", image=name, why=str(error))

    async def run(
        self, wanted: Reference, credentials: Sequence[Credential], tell: Callable[[str], None]
    ) -> tuple[Image, float]:
        """The image, and the seconds it took once it was its turn. `tell` is told how far a long pull is."""
        async with self._turn:
            await self._loaded()
            began = self._clock.monotonic()
            await asyncio.to_thread(self._records.begin, wanted.name)
            try:
                used = await self._try_in_turn(wanted, credentials, tell)
                found = await self._docker.find(wanted.name)
                if found is None:
                    raise RuntimeFailure("the image was pulled, and is gone again")
            except BaseException:
                await asyncio.to_thread(self._records.end, wanted.name)
                raise
            # If this fails it stays noted as being pulled: nobody may take it for one that was always there.
            await asyncio.to_thread(self._records.add, found.id, wanted.repository, used)
            await asyncio.to_thread(self._records.end, wanted.name)
            return found, self._clock.monotonic() - began

    async def _try_in_turn(
        self, wanted: Reference, credentials: Sequence[Credential], tell: Callable[[str], None]
    ) -> Credential | None:
        """With each of the credentials and the node's own; without any when there is none. Returns what worked."""
        errors: list[str] = []
        tries: list[Credential | None] = [*credentials, *await self._credentials.of_node(wanted.repository)]
        for credential in tries or [None]:
            progress = Progress()
            teller = asyncio.create_task(self._tell(progress, tell))
            try:
                await self._docker.pull(wanted.name, _auth(credential), progress.heard)
            except Unreachable as error:
                errors.append(str(error))
            except RuntimeFailure as error:
                errors.append(f"Error response from daemon: {error}")
            else:
                return credential
            finally:
                teller.cancel()
        different = list(dict.fromkeys(errors))
        raise RuntimeFailure(different[0] if len(different) == 1 else f"[{', '.join(different)}]")

    async def _tell(self, progress: Progress, tell: Callable[[str], None]) -> None:
        """After 30 s, 1 min, 2 min …"""
        pause = _TELL_SECONDS
        while True:
            await self._clock.sleep(pause)
            pause *= 2
            tell(progress.summary())


def _auth(credential: Credential | None) -> Mapping[str, str] | None:
    return None if credential is None else {"username": credential.username, "password": credential.password}
