"""Watch a collection: one JSON line per event, until the timeout, the client or the server ends it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

from api.registry import Resource
from apiserver import negotiate, represent
from apiserver.context import Context
from apiserver.histogram import Labels
from apiserver.request import Request
from apiserver.response import Answer, Stream
from apiserver.routes import selection
from apiserver.storage.store import Watch
from apiserver.storage.stored import WatchEvent

_MAX_TIMEOUT = 30 * 24 * 3600  # what a clock can count is finite
_LONGEST_BEGINNING = 10.0  # seconds; a client that reads slowly does not keep its seat for longer
_MIN_TIMEOUT = 1800  # as upstream: without a wish, between this and twice this, so that clients do not march in step


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose_stream(request.header(b"accept"))
    labels, fields = selection.of(request, res)
    initial = request.query("sendInitialEvents")
    timeout = min(request.integer("timeoutSeconds") or 0, _MAX_TIMEOUT)
    watch = await context.store.watch(
        res,
        request.info.namespace if res.namespaced else "",
        labels=labels,
        fields=fields,
        resource_version=request.query("resourceVersion"),
        match=request.query("resourceVersionMatch"),
        continued=bool(request.query("continue")),
        bookmarks=request.flag("allowWatchBookmarks"),
        send_initial=request.flag("sendInitialEvents") if initial else None,
        timeout=timeout if timeout > 0 else _MIN_TIMEOUT * (1 + random.random()),
    )
    context.metrics.init_events[res.group, res.plural] += watch.beginning
    write = represent.watch_lines(form, request, res, context.now)
    begun = partial(context.gate.leave, request)
    if watch.beginning:
        asyncio.get_running_loop().call_later(_LONGEST_BEGINNING, begun)
    else:
        begun()
    return Stream(_lines(watch, write, context.metrics.watch_events, (res.group, res.version, res.plural), begun))


async def _lines(
    watch: Watch,
    write: Callable[[Iterable[WatchEvent]], bytes],
    sent: Counter[Labels],
    labels: Labels,
    begun: Callable[[], None],  # told when all that it begins with is made
) -> AsyncIterator[bytes]:
    beginning = watch.beginning
    try:
        while events := await watch.batch():
            sent[labels] += len(events)
            lines = write(events)
            if beginning > 0:
                beginning -= len(events)
                if beginning <= 0:
                    begun()  # before it is sent: a client that does not read would keep its seat
            yield lines
    finally:
        watch.close()
