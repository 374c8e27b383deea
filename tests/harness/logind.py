"""A login manager for machines that have none: a real dbus-daemon, and on it what the kubelet asks of systemd-logind.

with Logind(directory) as logind:            # at unix:path=directory/bus
    logind.locks                             # how many are held
    logind.prepare_for_shutdown(True)
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from dbus_fast import PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusStr, DBusUInt64, DBusUnixFd
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

_POLICY = """<busconfig>
  <type>custom</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
"""


class _Manager(ServiceInterface):
    def __init__(self, delay: float) -> None:
        super().__init__("org.freedesktop.login1.Manager")
        self.delay, self.preparing = delay, False
        self.held: list[int] = []
        self.asked: list[tuple[str, ...]] = []

    @dbus_method()
    def Inhibit(self, what: DBusStr, who: DBusStr, why: DBusStr, mode: DBusStr) -> DBusUnixFd:
        ours, theirs = os.pipe()
        self.held.append(ours)
        self.asked.append((what, who, mode))
        asyncio.get_running_loop().call_later(0.1, os.close, theirs)
        return theirs

    @dbus_property(access=PropertyAccess.READ)
    def InhibitDelayMaxUSec(self) -> DBusUInt64:
        return int(self.delay * 1_000_000)

    @dbus_property(access=PropertyAccess.READ)
    def PreparingForShutdown(self) -> DBusBool:
        return self.preparing

    @dbus_signal()
    def PrepareForShutdown(self, coming: DBusBool) -> DBusBool:
        self.preparing = coming
        return coming


class _Systemd(ServiceInterface):
    """What reloads the login manager: it then takes the delay that `drop_in` says."""

    def __init__(self, manager: _Manager, drop_in: Path) -> None:
        super().__init__("org.freedesktop.systemd1.Manager")
        self._manager, self._drop_in = manager, drop_in

    @dbus_method()
    def KillUnit(self, unit: DBusStr, whom: DBusStr, number: DBusInt32):  # type: ignore[no-untyped-def]  # the library takes None for a type
        assert (unit, whom, number) == ("systemd-logind.service", "all", int(signal.SIGHUP))
        lines = dict(line.partition("=")[::2] for line in self._drop_in.read_text().splitlines())
        self._manager.delay = float(lines["InhibitDelayMaxSec"])


class Logind:
    def __init__(self, directory: Path, *, delay: float = 60.0, drop_in: Path = Path("/nowhere")) -> None:
        self.address = f"unix:path={directory}/bus"
        self._config = directory / "bus.conf"
        self._manager = _Manager(delay)
        self._systemd = _Systemd(self._manager, drop_in)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Logind:
        self._config.write_text(_POLICY.format(address=self.address))
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"], stdout=subprocess.PIPE
        )
        assert self._daemon.stdout is not None and self._daemon.stdout.readline(), "dbus-daemon does not start"
        self._thread.start()
        self._do(self._serve())
        return self

    async def _serve(self) -> None:
        self._bus = await MessageBus(bus_address=self.address, negotiate_unix_fd=True).connect()
        self._bus.export("/org/freedesktop/login1", self._manager)
        self._bus.export("/org/freedesktop/systemd1", self._systemd)
        for name in ("org.freedesktop.login1", "org.freedesktop.systemd1"):
            await self._bus.request_name(name)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    @property
    def delay(self) -> float:
        return self._manager.delay

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """what, who and mode of every lock that was ever asked for."""
        return self._manager.asked

    @property
    def locks(self) -> int:
        """How many are held: the other end of the pipe is open."""
        poll = select.poll()
        for end in self._manager.held:
            poll.register(end, 0)
        return len(self._manager.held) - len(poll.poll(0))

    def prepare_for_shutdown(self, coming: bool) -> None:
        async def tell() -> None:
            self._manager.PrepareForShutdown(coming)

        self._do(tell())

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._bus.disconnect)
        self._do(asyncio.sleep(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._daemon.terminate()
        self._daemon.wait()
        for end in self._manager.held:
            os.close(end)
