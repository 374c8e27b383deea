"""The HTTP client towards other servers, loaded when the first of them is asked: 8 MB that most clusters never need."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["aiohttp", "yarl"]

if TYPE_CHECKING:
    import aiohttp
    import yarl
else:

    class _Later:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self._name), name)

    aiohttp, yarl = _Later("aiohttp"), _Later("yarl")
