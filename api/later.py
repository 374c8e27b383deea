"""A module that is loaded when something of it is first asked for: memory that most clusters never need.

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = Later("aiohttp")
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)
