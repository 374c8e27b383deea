"""`kubectl set`: change one thing of existing objects: `image`, `env`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated

import typer

from api.errors import ApiError
from api.meta import Obj
from kubectl import options as opt
from kubectl.cli import Verb, VerbGroup
from kubectl.failures import CliError, raise_all
from kubectl.marks import objects
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import find_targets

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, no_args_is_help=True, help="Set specific features on objects")


def _pod_spec(obj: Obj) -> tuple[Obj, list[str]]:
    """(the pod spec inside, the path to it)."""
    spec = obj.get("spec") or {}
    if "template" in spec:
        return spec["template"].get("spec") or {}, ["spec", "template", "spec"]
    if "containers" in spec:
        return spec, ["spec"]
    raise CliError(f"the {obj.get('kind')} {obj['metadata']['name']} has no containers")


def _nested(path: list[str], value: Obj) -> Obj:
    for step in reversed(path):
        value = {step: value}
    return value


@app.command("image", cls=Verb)
def image(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    all_: opt.All = False,
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Update the image of a pod template: kubectl set image deployment/web app=nginx:1.29"""
    resources, images = split_pairs(arguments or [])
    if not images:
        raise CliError("at least one image update is required")
    _change(resources, filename, recursive, selector, all_, Results(output, dry_run), "image updated",
            lambda obj: image_patch(obj, images))  # fmt: skip


@app.command("env", cls=Verb)
def env(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    all_: opt.All = False,
    containers: Annotated[str, typer.Option("-c", "--containers", help="Of these containers; * is all")] = "*",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    """Update environment variables on a pod template: NAME=value sets, NAME- removes"""
    words = arguments or []
    removed = [w[:-1] for w in words[1:] if w.endswith("-") and "=" not in w]
    resources, new = split_pairs([w for w in words if not (w.endswith("-") and w[:-1] in removed)])
    if not new and not removed:
        raise CliError("at least one environment variable must be provided")
    _change(resources, filename, recursive, selector, all_, Results(output, dry_run), "env updated",
            lambda obj: env_patch(obj, new, removed, containers))  # fmt: skip


def split_pairs(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """(resources, `a=b` pairs)."""
    resources = [a for a in arguments if "=" not in a]
    return resources, dict(a.split("=", 1) for a in arguments if "=" in a)


def image_patch(obj: Obj, images: dict[str, str]) -> Obj:
    """Strategic merge patch, {} when nothing changes. `*` names every container."""
    spec, path = _pod_spec(obj)
    unknown = set(images) - {"*"}
    change: Obj = {}
    for field in ("initContainers", "containers"):
        entries = []
        for container in spec.get(field) or []:
            unknown.discard(container["name"])
            new = images.get(container["name"], images.get("*") if field == "containers" else None)
            if new and new != container.get("image"):
                entries.append({"name": container["name"], "image": new})
        if entries:
            change[field] = entries
    if unknown:
        raise CliError(f'unable to find container named "{sorted(unknown)[0]}"')
    return _nested(path, change) if change else {}


def env_patch(obj: Obj, new: dict[str, str], removed: list[str], wanted: str) -> Obj:
    spec, path = _pod_spec(obj)
    entries = []
    for container in spec.get("containers") or []:
        if wanted not in ("*", container["name"]):
            continue
        have = {e["name"]: e for e in copy.deepcopy(container.get("env") or [])}
        changes: list[Obj] = [{"name": k, "value": v} for k, v in new.items() if have.get(k, {}).get("value") != v]
        changes += [{"name": k, "$patch": "delete"} for k in removed if k in have]
        if changes:
            entries.append({"name": container["name"], "env": changes})
    return _nested(path, {"containers": entries}) if entries else {}


def _change(
    resources: list[str],
    filename: list[str] | None,
    recursive: bool,
    selector: str,
    everything: bool,
    results: Results,
    said: str,
    make_patch: Callable[[Obj], Obj],
) -> None:
    """Nothing is said of an object that is so already, as upstream."""

    async def verb(session: Session) -> None:
        errors: list[Exception] = []
        for target in await find_targets(
            session,
            resources,
            filenames=filename,
            recursive=recursive,
            selector=selector,
            everything=everything,
            need_name=not filename,
        ):
            try:
                for obj in await objects(session, target, selector):
                    patch = make_patch(obj)
                    if not patch:
                        continue
                    metadata, changed = obj["metadata"], obj
                    if not results.pretend:
                        changed = await session.patch(
                            target.resource,
                            metadata.get("namespace") or "",
                            metadata["name"],
                            patch,
                            "strategic",
                            params={**results.params, "fieldManager": "kubectl-set"},
                        )
                    results.show(target.resource, changed, said)
            except (ApiError, CliError) as error:
                errors.append(error)
        raise_all(errors)

    run(verb)
