"""The machine's login manager over D-Bus: it says when the machine is about to shut down, and waits for us if we ask.

https://systemd.io/INHIBITOR_LOCKS/: a lock is a file descriptor, given back by closing it, or by our end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

_LOGIND, _PATH, _MANAGER = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
_SYSTEMD, _SYSTEMD_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_RULE = f"type='signal',interface='{_MANAGER}',member='PrepareForShutdown',path='{_PATH}'"
DROP_IN = Path("/run/systemd/logind.conf.d/99-sampan-kubelet.conf")
"""Where the longest wait is raised. Volatile: a machine that boots without us has its own setting again."""


class LogindError(Exception):
    """It cannot be reached, or refuses."""


class Logind:
    """One connection to the system bus. A context manager; leaving it gives back the lock."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self._lock = -1

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls) -> AsyncIterator[Logind]:
        """LogindError when this machine has no system bus."""
        try:
            bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        except (OSError, DBusError) as error:
            raise LogindError(f"no system bus: {error}") from error
        manager = cls(bus)
        try:
            yield manager
        finally:
            manager.release()
            bus.disconnect()

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> Any:
        message = Message(destination, path, interface, member, signature=signature, body=list(body))
        try:
            reply = await self._bus.call(message)
        except (OSError, EOFError, DBusError) as error:
            raise LogindError(f"{member}: {error}") from error
        if reply is None or reply.message_type is MessageType.ERROR:
            raise LogindError(f"{member}: {reply.body[0] if reply and reply.body else 'no answer'}")
        return reply

    async def _property(self, name: str) -> Any:
        reply = await self._call(
            _LOGIND, _PATH, "org.freedesktop.DBus.Properties", "Get", "ss", _MANAGER, name
        )  # fmt: skip
        return reply.body[0].value

    async def _most_delay(self) -> float:
        return float(await self._property("InhibitDelayMaxUSec")) / 1_000_000

    async def wait_for_us(self, seconds: float) -> None:
        """Have it wait for so long, if asked, before it shuts down. LogindError when it will not."""
        if await self._most_delay() >= seconds:
            return
        try:
            await asyncio.to_thread(_write, f"[Login]\nInhibitDelayMaxSec={seconds:.0f}\n")
        except OSError as error:
            raise LogindError(f"{DROP_IN}: {error.strerror}") from error
        await self._call(
            _SYSTEMD, _SYSTEMD_PATH, "org.freedesktop.systemd1.Manager", "KillUnit", "ssi",
            "systemd-logind.service", "all", int(signal.SIGHUP),
        )  # fmt: skip
        granted = await self._most_delay()
        if granted < seconds:
            raise LogindError(f"it waits {granted:g} s at most, not {seconds:g} s")

    async def inhibit(self) -> None:
        """Take a lock, in place of the one held. Shutting down waits until `release`, at most the longest delay."""
        reply = await self._call(
            _LOGIND, _PATH, _MANAGER, "Inhibit", "ssss",
            "shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay",
        )  # fmt: skip
        self.release()
        self._lock = reply.unix_fds[reply.body[0]]

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def shutdowns(self) -> AsyncIterator[bool]:
        """True when the machine is about to shut down, False when that was called off; first what holds now, if it
        is about to. Ends with LogindError."""
        heard: asyncio.Queue[bool] = asyncio.Queue()

        def hear(message: Any) -> None:
            if message.member == "PrepareForShutdown" and message.interface == _MANAGER:
                heard.put_nowait(bool(message.body[0]))

        self._bus.add_message_handler(hear)
        await self._call(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", _RULE
        )  # fmt: skip
        if await self._property("PreparingForShutdown"):
            heard.put_nowait(True)
        lost = asyncio.ensure_future(self._bus.wait_for_disconnect())
        try:
            while True:
                news = asyncio.ensure_future(heard.get())
                await asyncio.wait({news, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    raise LogindError("the system bus is gone")
                yield news.result()
        finally:
            lost.cancel()


def _write(text: str) -> None:
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(text)
