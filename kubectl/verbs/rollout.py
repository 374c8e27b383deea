"""`kubectl rollout`: follow, undo, look back at, restart, pause and resume the rollout of a Deployment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from api.builtin import REPLICA_SETS
from api.errors import ApiError, NotFound, from_status
from api.meta import Obj, controller_of
from api.selectors import from_label_selector
from kubectl import options as opt
from kubectl.cli import Verb, VerbGroup
from kubectl.failures import CliError, raise_all
from kubectl.flags import duration
from kubectl.results import DRY_RUNS, Results, reference
from kubectl.rollouts import deployment_status, history, revision_details, rollback_target
from kubectl.session import Session, run, say
from kubectl.targets import Target, find_targets
from kubectl.templates import without_hash

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, no_args_is_help=True, help="Manage the rollout of a resource")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_APPLIED = (
    "Warning: resource {name} was previously managed with 'kubectl apply'. Rolling back will not update the "
    "{annotation} annotation, which may cause unexpected behavior on future 'kubectl apply' operations. Consider "
    "using 'kubectl apply' with your previous configuration file instead."
)
_KEPT_ANNOTATIONS = (
    _LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
)


async def _targets(
    session: Session,
    arguments: list[str] | None,
    filename: list[str] | None,
    recursive: bool,
    selector: str = "",
) -> list[Target]:
    if not arguments and not filename:
        raise CliError("required resource not specified")
    return await find_targets(
        session,
        arguments or [],
        filenames=filename,
        recursive=recursive,
        selector=selector,
        need_name=not filename,
    )


async def _live(session: Session, targets: list[Target], selector: str = "") -> list[tuple[Target, Obj]]:
    found = []
    for target in targets:
        if target.name:
            found.append((target, await session.get(target.resource, target.name, target.namespace)))
            continue
        for obj in await session.list(target.resource, target.namespace, labels=selector):
            found.append((Target(target.resource, obj["metadata"]["name"], target.namespace), obj))
    return found


def _deployment(target: Target, verb: str) -> None:
    if target.resource.kind != "Deployment":
        raise CliError(f'{target.resource.qualified} "{target.name}" {verb} is not supported')


@app.command("status", cls=Verb)
def status(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    watch: Annotated[bool, typer.Option("-w", "--watch/--no-watch", help="Follow until it is done")] = True,
    revision: Annotated[int, typer.Option("--revision", help="Of this revision; 0 is the latest")] = 0,
    timeout: opt.Timeout = "0s",
) -> None:
    """Show the status of the rollout"""

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        seconds = duration(timeout) or None
        try:
            async with asyncio.timeout(seconds):
                for target, obj in await _live(session, targets, selector):
                    if target.resource.kind != "Deployment":
                        raise CliError(f"no status viewer has been implemented for {target.resource.kind}")
                    await _follow(session, target, obj, revision, watch)
        except TimeoutError as error:
            raise CliError("timed out waiting for the condition") from error

    run(verb)


async def _follow(session: Session, target: Target, obj: Obj, revision: int, watch: bool) -> None:
    while True:
        message, done = deployment_status(obj, revision)
        print(message, end="", flush=True)
        if done or not watch:
            return
        changed = await _next_change(session, target, obj, revision)
        if changed is None:
            return
        obj = changed


async def _next_change(session: Session, target: Target, obj: Obj, revision: int) -> Obj | None:
    """Prints while the rollout moves; None when it is done, the object to begin again with when the watch ends."""
    version = str(obj["metadata"].get("resourceVersion") or "")
    try:
        async with session.events(
            target.resource, target.namespace, fields=f"metadata.name={target.name}", resource_version=version
        ) as changes:
            async for event, obj in changes:
                if event == "DELETED":
                    raise CliError("object has been deleted")
                if event == "ERROR":
                    raise from_status(obj, int(obj.get("code") or 500))
                message, done = deployment_status(obj, revision)
                print(message, end="", flush=True)
                if done:
                    return None
    except ApiError as error:
        if error.code != 410:
            raise
    return await session.get(target.resource, target.name, target.namespace)


async def _history_of(session: Session, deployment: Obj) -> list[Obj]:
    metadata = deployment["metadata"]
    labels = str(from_label_selector(deployment["spec"].get("selector")))
    found = await session.list(REPLICA_SETS, metadata["namespace"], labels=labels)
    return [rs for rs in found if (controller_of(rs) or {}).get("uid") == metadata["uid"]]


@app.command("history", cls=Verb)
def show_history(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    revision: Annotated[int, typer.Option("--revision", help="The details of this revision")] = 0,
    output: opt.ResultOutput = "",
) -> None:
    """View rollout history"""

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        for target, obj in await _live(session, targets, selector):
            if target.resource.kind != "Deployment":
                kind = f"{target.resource.group} {target.resource.kind}"
                raise CliError(
                    f'error retrieving history for "{target.resource.kind}", no visitor method exists for {{{kind}}}'
                )
            replica_sets = await _history_of(session, obj)
            if output:
                _print_replica_set(output, target, replica_sets, revision)
                continue
            header = reference(target.resource, target.name)
            if revision:
                print(f"{header} with revision #{revision}\n{revision_details(replica_sets, revision)}")
            else:
                print(f"{header} \n{history(replica_sets)}")

    run(verb)


def _print_replica_set(output: str, target: Target, replica_sets: list[Obj], revision: int) -> None:
    chosen = rollback_target(target.name, replica_sets, revision) if revision else None
    results = Results(output)
    for rs in [chosen] if chosen else replica_sets:
        results.show(REPLICA_SETS, rs, "")


@app.command("undo", cls=Verb)
def undo(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    to_revision: Annotated[int, typer.Option("--to-revision", help="0 is the one before the current")] = 0,
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Undo a previous rollout"""
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        for target, obj in await _live(session, targets, selector):
            if target.resource.kind != "Deployment":
                raise CliError(f'no rollbacker has been implemented for "{target.resource.kind}"')
            await _roll_back(session, target, obj, to_revision, results)

    run(verb)


async def _roll_back(session: Session, target: Target, obj: Obj, to_revision: int, results: Results) -> None:
    if _LAST_APPLIED in (obj["metadata"].get("annotations") or {}):
        say(_APPLIED.format(name=f"{target.resource.plural}/{target.name}", annotation=_LAST_APPLIED))
    chosen = rollback_target(target.name, await _history_of(session, obj), to_revision)
    if obj["spec"].get("paused"):
        raise CliError("you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' "
                       "and try again")  # fmt: skip
    template = without_hash(chosen["spec"]["template"])
    if results.pretend:
        print(f"{reference(target.resource, target.name)} {_template_text(template)}{DRY_RUNS[results.dry_run]}")
        return
    if template == without_hash(obj["spec"]["template"]):
        what = f"skipped rollback (current template already matches revision {_revision_of(chosen)})"
        results.show(target.resource, obj, what)
        return
    kept = {k: v for k, v in (obj["metadata"].get("annotations") or {}).items() if k in _KEPT_ANNOTATIONS}
    old = (chosen["metadata"].get("annotations") or {}).items()
    kept |= {k: v for k, v in old if k not in _KEPT_ANNOTATIONS}
    patch = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": kept},
    ]
    changed = await session.patch(target.resource, target.namespace, target.name, patch, "json", params=results.params)
    results.show(target.resource, changed, "rolled back")


def _revision_of(rs: Obj) -> str:
    return str(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def _template_text(template: Obj) -> str:
    from kubectl.describe.pods import template_block  # noqa: PLC0415
    from kubectl.describe.sheet import Sheet  # noqa: PLC0415

    sheet = Sheet(datetime.now(UTC))
    template_block(sheet, template)
    return sheet.text()


async def _patch_each(
    session: Session,
    targets: list[Target],
    selector: str,
    patch: Any,
    results: Results,
    said: str,
    verb: str,
    already: str = "",
) -> None:
    """`already` is what is said of one that is so already: `paused` → `… is already paused`."""
    errors: list[Exception] = []
    for target, obj in await _live(session, targets, selector):
        try:
            _deployment(target, verb)
            paused = bool(obj["spec"].get("paused"))
            if already and paused == (already == "paused"):
                state = "already paused" if paused else "not paused"
                raise CliError(f'{target.resource.qualified} "{target.name}" is {state}')
            if verb == "restarting" and paused:
                raise CliError(
                    f'{target.resource.qualified} "{target.name}" can\'t restart paused deployment '
                    "(run rollout resume first)"
                )
            changed = obj
            if not results.pretend:
                changed = await session.patch(
                    target.resource, target.namespace, target.name, patch, "strategic", params=results.params
                )
            results.show(target.resource, changed, said)
        except (CliError, NotFound) as error:
            errors.append(error)
    raise_all(errors)


@app.command("restart", cls=Verb)
def restart(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Restart a resource"""
    results = Results(output, dry_run)
    stamp = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
    annotation = {"kubectl.kubernetes.io/restartedAt": stamp}
    patch = {"spec": {"template": {"metadata": {"annotations": annotation}}}}

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        await _patch_each(session, targets, selector, patch, results, "restarted", "restarting")

    run(verb)


@app.command("pause", cls=Verb)
def pause(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Mark the provided resource as paused"""
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        await _patch_each(
            session, targets, selector, {"spec": {"paused": True}}, results, "paused", "pausing", "paused"
        )

    run(verb)


@app.command("resume", cls=Verb)
def resume(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Resume a paused resource"""
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        targets = await _targets(session, arguments, filename, recursive, selector)
        await _patch_each(
            session, targets, selector, {"spec": {"paused": None}}, results, "resumed", "resuming", "resumed"
        )

    run(verb)
