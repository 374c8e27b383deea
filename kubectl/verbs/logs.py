"""`kubectl logs`: what containers wrote, of one pod, of a workload, or of all pods a selector picks."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from api.builtin import PODS
from api.errors import ApiError
from api.meta import Obj
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.flags import duration
from kubectl.pods import choose_container, container_names, pod_of, pods_of
from kubectl.session import Session, run, say
from kubectl.targets import find_targets

_SELECTED_TAIL = 10


def command(
    arguments: opt.Arguments = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay and show what comes")] = False,
    previous: Annotated[bool, typer.Option("-p", "--previous", help="Of the instance that ended before")] = False,
    container: opt.Container = "",
    all_containers: Annotated[bool, typer.Option("--all-containers", help="Of every container")] = False,
    all_pods: Annotated[bool, typer.Option("--all-pods", help="Of every pod of the workload")] = False,
    tail: Annotated[int, typer.Option("--tail", help="Lines from the end; -1 is all")] = -1,
    since: Annotated[str, typer.Option("--since", help="Newer than this, e.g. 5s, 2m, 3h")] = "0s",
    since_time: Annotated[str, typer.Option("--since-time", help="After this RFC 3339 time")] = "",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="The time before each line")] = False,
    prefix: Annotated[bool, typer.Option("--prefix", help="The source before each line")] = False,
    limit_bytes: Annotated[int, typer.Option("--limit-bytes", help="At most so many bytes")] = 0,
    selector: opt.Selector = "",
    max_log_requests: Annotated[int, typer.Option("--max-log-requests", help="Streams at once with -l -f")] = 5,
    ignore_errors: Annotated[bool, typer.Option("--ignore-errors", help="Go on when a stream fails")] = False,
) -> None:
    words = arguments or []
    if not words and not selector:
        raise CliError(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument "
            "for the logs command\nSee 'kubectl logs -h' for help and examples"
        )
    if since != "0s" and since_time:
        raise CliError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if container and all_containers:
        raise CliError(f"--all-containers=true should not be specified with container name {container}")
    if words and selector:
        raise CliError("only a selector (-l) or a POD name is allowed")
    if selector and tail == -1:
        tail = _SELECTED_TAIL
    params = log_params(follow, previous, tail, since, since_time, timestamps, limit_bytes)

    async def verb(session: Session) -> None:
        streams = await _streams(session, words, selector, container, all_containers, all_pods)
        if follow and len(streams) > max_log_requests:
            raise CliError(f"you are attempting to follow {len(streams)} log streams, but maximum allowed concurrency "
                           f"is {max_log_requests}, use --max-log-requests to increase the limit")  # fmt: skip
        if follow and len(streams) > 1:
            async with asyncio.TaskGroup() as group:
                for each in streams:
                    group.create_task(_guarded(session, each, params, prefix, ignore_errors))
        else:
            for each in streams:
                await _guarded(session, each, params, prefix, ignore_errors)

    try:
        run(verb)
    except* ApiError as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[ApiError]) -> ApiError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ApiError)
    return error


@dataclass(frozen=True, slots=True)
class _Stream:
    namespace: str
    pod: str
    container: str

    @property
    def prefix(self) -> bytes:
        return f"[pod/{self.pod}/{self.container}] ".encode()


def log_params(
    follow: bool, previous: bool, tail: int, since: str, since_time: str, timestamps: bool, limit_bytes: int
) -> dict[str, Any]:
    """The query of pods/log."""
    params: dict[str, Any] = {}
    if follow:
        params["follow"] = "true"
    if previous:
        params["previous"] = "true"
    if tail >= 0:
        params["tailLines"] = str(tail)
    elif tail < -1:
        raise CliError("--tail must be greater than or equal to -1")
    seconds = duration(since)
    if seconds:
        params["sinceSeconds"] = str(-int(-seconds // 1))
    if since_time:
        params["sinceTime"] = since_time
    if timestamps:
        params["timestamps"] = "true"
    if limit_bytes:
        params["limitBytes"] = str(limit_bytes)
    return params


async def _streams(
    session: Session, words: list[str], selector: str, container: str, all_containers: bool, all_pods: bool
) -> list[_Stream]:
    pods: list[Obj]
    if selector:
        pods = await session.list(PODS, session.namespace, labels=selector)
        if not pods:
            say(f"No resources found in {session.namespace} namespace.")
    elif all_pods:
        target = (await find_targets(session, words, need_name=True))[0]
        workload = await session.get(target.resource, target.name, target.namespace)
        pods = await pods_of(session, target.resource, workload)
    else:
        if len(words) == 2 and "/" not in words[0] and not container:
            words, container = words[:1], words[1]
        pods = [await pod_of(session, words, for_logs=True)]
    streams = []
    for pod in pods:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if all_containers:
            regular, init, ephemeral = container_names(pod)
            streams += [_Stream(namespace, name, c) for c in (*init, *regular, *ephemeral)]
        else:
            streams.append(_Stream(namespace, name, choose_container(pod, container)))
    return streams


async def _guarded(
    session: Session, stream: _Stream, params: dict[str, Any], prefix: bool, ignore_errors: bool
) -> None:
    try:
        await _copy(session, stream, params, prefix)
    except ApiError as error:
        if not ignore_errors:
            raise
        say(f"error: {error.message}")


async def _copy(session: Session, stream: _Stream, params: dict[str, Any], prefix: bool) -> None:
    """Bytes as they come; with a prefix, line by line."""
    path = PODS.path(stream.namespace, stream.pod, "log")
    pending = b""
    out = sys.stdout.buffer
    async with session.client.stream("GET", path, params={**params, "container": stream.container}) as response:
        async for chunk in response.aiter_raw():
            if not prefix:
                out.write(chunk)
                out.flush()
                continue
            *lines, pending = (pending + chunk).split(b"\n")
            out.write(b"".join(stream.prefix + line + b"\n" for line in lines))
            out.flush()
    if pending:
        out.write(stream.prefix + pending)
        out.flush()
