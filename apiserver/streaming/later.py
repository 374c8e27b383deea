"""The HTTP client towards other servers, loaded when the first of them is asked: 8 MB that most clusters never need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.later import Later

__all__ = ["aiohttp", "yarl"]

if TYPE_CHECKING:
    import aiohttp
    import yarl
else:
    aiohttp, yarl = Later("aiohttp"), Later("yarl")
