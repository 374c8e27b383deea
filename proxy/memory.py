"""What the proxy last knew of Services, kept in its state directory.

A proxy that restarts while the control plane is away still has to answer DNS. So the stores are written down a
moment after they change, and filled from that before the first list. The informers then correct them as after
any relist. Rules need none of this: the kernel remembers them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from client import log
from client.clock import Clock
from client.informer import Informer

DELAY = 5.0
_log = log.get("proxy")


def recall(path: Path, informers: Mapping[str, Informer]) -> bool:
    """Fill the stores; False when there is nothing to fill them with. Call it before the informers run."""
    try:
        remembered = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except orjson.JSONDecodeError as error:
        _log.warning("last state cannot be read", path=str(path), why=str(error))
        return False
    for name, informer in informers.items():
        for obj in remembered.get(name, ()):
            informer.store.put(obj)
    return True


async def keep(path: Path, informers: Mapping[str, Informer], clock: Clock) -> None:
    """Write the stores down within DELAY of each change, until cancelled."""
    changed = asyncio.Event()
    for informer in informers.values():
        informer.on_event(lambda kind, old, new: changed.set())
    while True:
        await changed.wait()
        await clock.sleep(DELAY)
        changed.clear()
        stores = {name: informer.store.list() for name, informer in informers.items()}
        try:
            await asyncio.to_thread(_write, path, orjson.dumps(stores))
        except OSError as error:
            _log.warning("state cannot be kept", path=str(path), why=str(error))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    os.chmod(fresh, 0o600)
    fresh.rename(path)
