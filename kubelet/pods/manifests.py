"""The folder of static pods' manifests, followed: at each change, and every 20 s, what is in it is told.

A file that is no pod is told in the log and as an event, and means no pod, as upstream has it: a pod whose manifest is
spoilt ends. When the folder itself cannot be read nothing is told, and what runs goes on.
Source: pkg/kubelet/config/{file,file_linux}.go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from api.meta import Obj, key
from client import log
from client.clock import Clock
from kubelet.pods.inotify import Inotify
from kubelet.pods.static import ManifestError, read

_log = log.get("static-pods")
_EVERY = 20.0
_SETTLE = 0.1
"""What writes one file often writes another: they are read together."""
_LARGEST = 10 << 20


class _File(NamedTuple):
    stamp: tuple[int, ...]
    pod: Obj | None
    why: str


class Manifests:
    """`take` is called with all static pods when they may have changed; `say(message)` tells what is wrong."""

    def __init__(
        self, path: Path, node: str, take: Callable[[list[Obj]], None], say: Callable[[str], None], clock: Clock
    ) -> None:
        self._path, self._node, self._take, self._say, self._clock = path, node, take, say, clock
        self._files: dict[str, _File] = {}
        self._told: dict[str, str] = {}

    async def look(self, lost: Collection[str] = ()) -> None:
        """Once, now. A file that was `lost` is another, though it be back: its pod begins anew."""
        if any(self._files.pop(name, None) for name in lost):
            self._judge()
        try:
            self._files = await asyncio.to_thread(self._scan, self._clock.now())
        except OSError as error:
            self._tell({str(self._path): f"unable to read manifests: {error}"})
            return
        self._judge()

    def _judge(self) -> None:
        pods: dict[str, Obj] = {}
        wrong = {name: file.why for name, file in self._files.items() if file.why}
        uids: set[str] = set()
        for name, file in self._files.items():
            if file.pod is None:
                continue
            uid = file.pod["metadata"]["uid"]
            if key(file.pod) in pods or uid in uids:
                wrong[name] = f'duplicate pod name "{key(file.pod)}", ignoring'
                continue
            pods[key(file.pod)] = file.pod
            uids.add(uid)
        self._tell(wrong)
        self._take(list(pods.values()))

    def _tell(self, wrong: dict[str, str]) -> None:
        for name, why in wrong.items():
            if self._told.get(name) != why:
                _log.error("could not process manifest file", file=name, why=why)
                shown = os.fsencode(name).decode(errors="replace")  # any bytes may name a file, events are text
                self._say(f"Could not process manifest file {shown}: {why}")
        self._told = wrong

    def _scan(self, now: datetime) -> dict[str, _File]:
        """Files that have not changed are not read again. OSError when the folder cannot be read."""
        try:
            names = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
        except FileNotFoundError:
            names = []
        found = {}
        for file in names:
            if file.name.startswith("."):
                continue
            try:
                status = file.stat()
                if file.is_dir():
                    continue  # not followed
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                known = self._files.get(str(file))
                found[str(file)] = known if known and known.stamp == stamp else self._read(file, stamp, now)
            except FileNotFoundError:
                continue
        return found

    def _read(self, file: Path, stamp: tuple[int, ...], now: datetime) -> _File:
        try:
            with file.open("rb") as opened:
                text = opened.read(_LARGEST + 1)
            if not file.is_file() or len(text) > _LARGEST:
                raise ManifestError("not a regular file of at most 10 MiB")
            pod, warnings = read(text, str(file), self._node, now)
        except FileNotFoundError:
            raise
        except (ManifestError, OSError) as error:
            return _File(stamp, None, str(error))
        for warning in warnings:
            _log.warning("questionable manifest", file=str(file), what=warning)
        return _File(stamp, pod, "")

    async def run(self) -> None:
        """Until cancelled."""
        watch = Inotify()
        try:
            while True:
                watch.changed.clear()
                try:
                    watch.watch(self._path if self._path.is_dir() else self._path.parent)
                except OSError as error:
                    _log.debug("manifests cannot be watched", why=str(error))
                lost = {str(self._path / name) for name in watch.lost}
                watch.lost.clear()
                await self.look(lost)
                try:
                    await asyncio.wait_for(watch.changed.wait(), _EVERY)
                    await self._clock.sleep(_SETTLE)
                except TimeoutError:
                    continue
        finally:
            watch.close()
