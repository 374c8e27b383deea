"""`kubectl delete`: remove objects and, unless told otherwise, wait until they are gone."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.errors import ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from kubectl import options as opt
from kubectl.failures import CliError, raise_all, with_source
from kubectl.flags import duration
from kubectl.results import DRY_RUNS, Results, reference
from kubectl.session import Session, run, say
from kubectl.targets import Target, find_targets

_FORCED = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
    "The resource may continue to run on the cluster indefinitely."
)
_PROPAGATION = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    field_selector: opt.FieldSelector = "",
    all_: opt.All = False,
    all_namespaces: opt.AllNamespaces = False,
    grace_period: Annotated[int, typer.Option("--grace-period", help="Seconds given to end; -1 is the object's")] = -1,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for the node's confirmation")] = False,
    now: Annotated[bool, typer.Option("--now", help="Same as --grace-period=1")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when the objects are gone")] = True,
    timeout: opt.Timeout = "0s",
    cascade: Annotated[str, typer.Option("--cascade", help="background, foreground or orphan")] = "background",
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="An object that does not exist is no error")
    ] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="name, for names alone")] = "",
    dry_run: opt.DryRun = "none",
) -> None:
    if cascade not in _PROPAGATION:
        raise CliError(f'invalid cascade value ({cascade}). Must be "background", "foreground", or "orphan"')
    if output not in ("", "name"):
        raise CliError(f"unexpected -o output mode: {output}. We only support '-o name'")
    if all_ and selector:
        raise CliError("cannot set --all and --selector at the same time")
    if now:
        if grace_period != -1:
            raise CliError("--now and --grace-period cannot be specified together")
        grace_period = 1
    if force and grace_period > 0:
        raise CliError("--force and --grace-period greater than 0 cannot be specified together")
    if grace_period == 0 and not force:
        grace_period = 1  # upstream: 0 without --force waits for the node, which 1 second is enough for
    if force:
        grace_period = 0
    results = Results("", dry_run)

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session,
            arguments or [],
            filenames=filename,
            recursive=recursive,
            selector=selector or field_selector,
            all_namespaces=all_namespaces,
            everything=all_,
            need_name=not filename,
        )
        if force:
            say(_FORCED)
        if session.namespace_given and any(not t.resource.namespaced for t in targets):
            say("Warning: deleting cluster-scoped resources, not scoped to the provided namespace")
        deletion = _Deletion(session, results, grace_period, _PROPAGATION[cascade], output == "name", force)
        deletion.ignore_not_found = ignore_not_found or all_ or bool(selector)
        for target in targets:
            await deletion.delete(target, selector, field_selector)
        if not deletion.gone and not deletion.errors and not output and not ignore_not_found:
            print("No resources found")
        if wait and dry_run == "none":
            await deletion.wait(duration(timeout) or 7 * 24 * 3600.0)
        raise_all(deletion.errors)

    run(verb)


class _Deletion:
    def __init__(
        self, session: Session, results: Results, grace: int, propagation: str, names_only: bool, forced: bool
    ) -> None:
        self._session, self._results = session, results
        self._options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace >= 0:
            self._options["gracePeriodSeconds"] = grace
        self._names_only, self._forced = names_only, forced
        self.ignore_not_found = False
        self.errors: list[Exception] = []
        self.gone: list[tuple[Resource, str, str, str]] = []
        """(resource, namespace, name, uid) of what was asked to go; uid "" when the server did not tell it."""

    async def delete(self, target: Target, labels: str, fields: str) -> None:
        try:
            if target.name:
                await self._one(target.resource, target.namespace, target.name, target.source)
                return
            for item in await self._session.list(target.resource, target.namespace, labels=labels, fields=fields):
                metadata = item["metadata"]
                await self._one(target.resource, metadata.get("namespace") or "", metadata["name"])
        except ApiError as error:
            self.errors.append(error)

    async def _one(self, resource: Resource, namespace: str, name: str, source: str = "") -> None:
        path = resource.path(namespace, name)
        try:
            if self._results.pretend:
                answer = await self._session.call("GET", path)
            else:
                answer = await self._session.call("DELETE", path, params=self._results.params, body=self._options)
        except NotFound as error:
            if not self.ignore_not_found:
                self.errors.append(with_source(error, "deleting", source) if source else error)
            return
        except ApiError as error:
            self.errors.append(with_source(error, "deleting", source) if source else error)
            return
        uid = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid") or ""
        self.gone.append((resource, namespace, name, uid))
        print(self._sentence(resource, namespace, name), flush=True)

    def _sentence(self, resource: Resource, namespace: str, name: str) -> str:
        if self._names_only:
            return reference(resource, name)
        kind = resource.kind.lower() + (f".{resource.group}" if resource.group else "")
        where = f" from {namespace} namespace" if namespace else ""
        how = "force deleted" if self._forced else "deleted"
        return f'{kind} "{name}" {how}{where}{DRY_RUNS[self._results.dry_run]}'

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                for resource, namespace, name, uid in self.gone:
                    await self._vanished(resource, namespace, name, uid)
        except TimeoutError as error:
            raise CliError(f"timed out waiting for the condition on {resource.plural}/{name}") from error

    async def _vanished(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        while True:
            try:
                live = await self._session.get(resource, name, namespace)
            except NotFound:
                return
            if uid and live["metadata"].get("uid") != uid:
                return  # another object has taken the name
            version = str(live["metadata"].get("resourceVersion") or "")
            async with self._session.events(
                resource, namespace, fields=f"metadata.name={name}", resource_version=version
            ) as changes:
                async for event, _ in changes:
                    if event == "DELETED":
                        return
                    if event == "ERROR":
                        break
