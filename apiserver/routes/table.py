"""The shape of a route: a verb on a row of the registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer

Handler = Callable[[Context, Request, Resource], Awaitable[Answer]]
Handlers = dict[str, Handler]
