"""`kubectl run`: one pod from an image, with --rm and -it as a throw-away shell."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.builtin import PODS
from api.errors import ApiError
from api.meta import Obj
from kubectl import generators
from kubectl import options as opt
from kubectl import session as sessions
from kubectl.failures import CliError
from kubectl.flags import duration
from kubectl.results import Results
from kubectl.session import Session, run, say

Name = Annotated[str, typer.Argument(metavar="NAME")]


def command(
    name: Name,
    image: Annotated[str, typer.Option("--image", help="The image for the container to run")] = "",
    env: Annotated[list[str] | None, typer.Option("--env", help="NAME=value")] = None,
    labels: Annotated[str, typer.Option("-l", "--labels", help="a=b,c=d instead of run=NAME")] = "",
    annotations: Annotated[list[str] | None, typer.Option("--annotations", help="key=value")] = None,
    port: Annotated[int, typer.Option("--port", help="The port that this container exposes")] = 0,
    restart: Annotated[str, typer.Option("--restart", help="Always, OnFailure or Never")] = "Always",
    image_pull_policy: Annotated[str, typer.Option("--image-pull-policy", help="Always, IfNotPresent, Never")] = "",
    as_command: Annotated[bool, typer.Option("--command", help="What follows -- is the command, not args")] = False,
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Keep stdin open")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Allocate a terminal")] = False,
    attach: Annotated[bool, typer.Option("--attach", help="Wait for the pod, then join it")] = False,
    rm: Annotated[bool, typer.Option("--rm", help="Delete the pod afterwards")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No prompt messages")] = False,
    pod_running_timeout: Annotated[str, typer.Option("--pod-running-timeout")] = "1m0s",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    if not image:
        raise CliError('required flag(s) "image" not set')
    joined = attach or stdin or tty
    if tty and not stdin:
        raise CliError("-i/--stdin is required for containers with -t/--tty=true")
    if rm and not joined:
        raise CliError("--rm should only be used for attached containers")
    if restart not in ("Always", "OnFailure", "Never"):
        raise CliError(f"invalid restart policy: {restart}")
    rest = sessions.flags.remote_command or []
    results = Results(output, dry_run)
    obj = generators.pod(
        name,
        image,
        command=rest if as_command else (),
        arguments=() if as_command else rest,
        env=env or (),
        labels=labels,
        annotations=annotations or (),
        port=port,
        restart=restart,
        pull_policy=image_pull_policy,
        stdin=stdin,
        tty=tty,
    )
    if results.pretend:
        if sessions.flags.namespace:
            obj["metadata"]["namespace"] = sessions.flags.namespace
        results.show(PODS, obj, "created")
        return

    async def verb(session: Session) -> int:
        params = {**results.params, "fieldManager": "kubectl-run", "fieldValidation": "Strict"}
        pod = await session.call("POST", PODS.path(session.namespace), params=params, body=obj)
        if not joined:
            results.show(PODS, pod, "created")
            return 0
        try:
            return await _join(session, pod, stdin=stdin, tty=tty, quiet=quiet, seconds=duration(pod_running_timeout))
        finally:
            if rm:
                await session.call("DELETE", PODS.path(session.namespace, name))
                if not quiet:
                    print(f'pod "{name}" deleted from {session.namespace} namespace')

    run(verb)


async def _join(session: Session, pod: Obj, *, stdin: bool, tty: bool, quiet: bool, seconds: float) -> int:
    """Attach when it runs; when it has ended by then, its log and exit code."""
    from kubectl.verbs.attach import attach  # noqa: PLC0415  # WebSockets only when joined

    name = pod["metadata"]["name"]
    pod = await _started(session, pod, seconds)
    if pod["status"]["phase"] == "Running":
        try:
            await attach(session, [name], "", stdin=stdin, tty=tty, quiet=quiet)
        except ApiError as error:
            say(f"warning: couldn't attach to pod/{name}, falling back to streaming logs: {error.message}")
            await _log(session, name)
        if pod["spec"].get("restartPolicy") == "Always":
            return 0
        pod = await _ended(session, name)
    else:
        await _log(session, name)
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        ended = (status.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            say(f"pod {session.namespace}/{name} terminated ({ended.get('reason', 'Error')})")
            return int(ended["exitCode"])
    return 0


async def _started(session: Session, pod: Obj, seconds: float) -> Obj:
    try:
        async with asyncio.timeout(seconds):
            return await _phase(session, pod, ("Running", "Succeeded", "Failed"))
    except TimeoutError as error:
        raise CliError("timed out waiting for the condition") from error


async def _ended(session: Session, name: str) -> Obj:
    return await _phase(session, await session.get(PODS, name, session.namespace), ("Succeeded", "Failed"))


async def _phase(session: Session, pod: Obj, phases: tuple[str, ...]) -> Obj:
    while (pod.get("status") or {}).get("phase") not in phases:
        metadata = pod["metadata"]
        async with session.events(
            PODS,
            session.namespace,
            fields=f"metadata.name={metadata['name']}",
            resource_version=metadata["resourceVersion"],
        ) as changes:
            async for event, pod in changes:
                if event == "DELETED":
                    raise CliError(f"pod {metadata['name']} was deleted")
                if (pod.get("status") or {}).get("phase") in phases:
                    return pod
        pod = await session.get(PODS, metadata["name"], session.namespace)
    return pod


async def _log(session: Session, name: str) -> None:
    response = await session.client.request("GET", PODS.path(session.namespace, name, "log"))
    print(response.text, end="", flush=True)
