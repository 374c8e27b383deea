"""Threads for what takes long on disks, apart from those in which all else is read and written: however many large
directories are removed, or servers do not answer, configuration still reaches volumes and logs are read.

Threads are made when they are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Threads:
    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, name)

    async def run(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """As asyncio.to_thread does. What has begun when it is cancelled goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))


OWN = Threads(4, "own-disk")
"""For removing and measuring what lies on the kubelet's own disks: it takes long, but it ends."""
FOREIGN = Threads(8, "foreign-disk")
"""For what may lie on a server that never answers."""
