"""`kubectl scale`: set the number of replicas through the scale subresource."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from api.errors import ApiError, Conflict
from api.meta import Obj
from kubectl import options as opt
from kubectl.failures import CliError, raise_all
from kubectl.flags import duration
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import Target, find_targets

_ATTEMPTS = 10


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    all_: opt.All = False,
    replicas: Annotated[int, typer.Option("--replicas", help="The new desired number of replicas")] = -1,
    current_replicas: Annotated[int, typer.Option("--current-replicas", help="Only when it is this now")] = -1,
    resource_version: Annotated[str, typer.Option("--resource-version", help="Only at this version")] = "",
    timeout: opt.Timeout = "0s",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    if replicas == -1:
        raise CliError('required flag(s) "replicas" not set')
    if replicas < 0:
        raise CliError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if not arguments and not filename:
        raise CliError("you must specify one or more resources by argument or filename")
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session,
            arguments or [],
            filenames=filename,
            recursive=recursive,
            selector=selector,
            everything=all_,
            need_name=not filename,
        )
        errors: list[Exception] = []
        named = [t for t in targets if t.name]
        for target in (t for t in targets if not t.name):
            for item in await session.list(target.resource, target.namespace, labels=selector):
                named.append(Target(target.resource, item["metadata"]["name"], target.namespace))
        if not named:
            raise CliError("no objects passed to scale")
        if len(named) > 1 and resource_version:
            raise CliError("cannot use --resource-version with multiple resources")
        for target in named:
            try:
                obj = await session.get(target.resource, target.name, target.namespace)
                if not results.pretend:
                    await _scale(session, target, replicas, current_replicas, resource_version, results.params)
                if duration(timeout) and dry_run == "none":
                    await _reached(session, target, replicas, duration(timeout))
                results.show(target.resource, obj, "scaled")
            except (ApiError, CliError) as error:
                errors.append(error)
        raise_all(errors)

    run(verb)


async def _scale(
    session: Session, target: Target, replicas: int, expected: int, version: str, params: dict[str, Any]
) -> None:
    """With a precondition read, compare and write; else a patch that cannot conflict."""
    resource, name, namespace = target.resource, target.name, target.namespace
    if expected < 0 and not version:
        patch = {"spec": {"replicas": replicas}}
        await session.patch(resource, namespace, name, patch, "merge", subresource="scale", params=params)
        return
    for attempt in range(1, _ATTEMPTS + 1):
        scale: Obj = await session.get(resource, name, namespace, "scale")
        now = (scale.get("spec") or {}).get("replicas", 0)
        if expected >= 0 and now != expected:
            raise CliError(f"Expected replicas to be {expected}, was {now}")
        live = scale["metadata"].get("resourceVersion", "")
        if version and live != version:
            raise CliError(f"Expected resource version to be {version}, was {live}")
        scale["spec"] = {"replicas": replicas}
        try:
            await session.call("PUT", resource.path(namespace, name, "scale"), params=params, body=scale)
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            continue
        return


async def _reached(session: Session, target: Target, replicas: int, seconds: float) -> None:
    def done(obj: Obj) -> bool:
        status = obj.get("status") or {}
        observed = int(status.get("observedGeneration", 0)) >= int(obj["metadata"].get("generation", 0))
        return observed and status.get("replicas", 0) == replicas

    try:
        async with asyncio.timeout(seconds):
            while not done(obj := await session.get(target.resource, target.name, target.namespace)):
                fields, version = f"metadata.name={target.name}", obj["metadata"]["resourceVersion"]
                async with session.events(
                    target.resource, target.namespace, fields=fields, resource_version=version
                ) as changes:
                    async for _, changed in changes:
                        if done(changed):
                            return
    except TimeoutError as error:
        raise CliError("timed out waiting for the condition") from error
