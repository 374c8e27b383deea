"""`kubectl taint`: which pods a node repels. `key=value:effect` sets, `key[:effect]-` removes."""

from __future__ import annotations

from typing import Annotated

import typer

from api.builtin import NODES
from api.errors import ApiError
from api.meta import Obj
from kubectl import options as opt
from kubectl.failures import CliError, raise_all
from kubectl.marks import objects
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import find_targets

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def command(
    arguments: opt.Arguments = None,
    selector: opt.Selector = "",
    all_: opt.All = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Allow taints to be changed")] = False,
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    words = arguments or []
    resources = [w for w in words if "=" not in w and ":" not in w and not w.endswith("-")]
    changes = [w for w in words if w not in resources]
    if not resources:
        raise CliError("one or more resources must be specified as <resource> <name> or <resource>/<name>")
    if not changes:
        raise CliError("at least one taint update is required")
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        errors: list[Exception] = []
        for target in await find_targets(session, resources, selector=selector, everything=all_, need_name=True):
            if target.resource.kind != "Node":
                raise CliError(f"invalid resource type {target.resource.plural}, only node(s) is supported")
            try:
                for node in await objects(session, target, selector):
                    taints, said = change(node, changes, overwrite)
                    if not results.pretend:
                        patch = {"spec": {"taints": taints}}
                        name = node["metadata"]["name"]
                        node = await session.patch(NODES, "", name, patch, "merge", params=results.params)
                    results.show(NODES, node, said)
            except (ApiError, CliError) as error:
                errors.append(error)
        raise_all(errors)

    run(verb)


def change(node: Obj, changes: list[str], overwrite: bool) -> tuple[list[Obj], str]:
    """(the new taints, what is said). CliError for a malformed change or a clash."""
    taints: list[Obj] = list((node.get("spec") or {}).get("taints") or [])
    added = removed = modified = False
    for text in changes:
        if text.endswith("-"):
            key, _, effect = text[:-1].partition(":")
            key = key.partition("=")[0]
            kept = [t for t in taints if not (t["key"] == key and effect in ("", t.get("effect")))]
            if len(kept) == len(taints):
                raise CliError(f'taint "{text[:-1]}" not found')
            taints, removed = kept, True
            continue
        pair, colon, effect = text.rpartition(":")
        if not colon or effect not in _EFFECTS:
            raise CliError(f"invalid taint spec: {text}, invalid taint effect: {effect}, unsupported taint effect")
        key, _, value = pair.partition("=")
        clash = next((t for t in taints if t["key"] == key and t.get("effect") == effect), None)
        if clash is not None and not overwrite:
            raise CliError(f"node {node['metadata']['name']} already has {key} taint(s) with same effect(s) and "
                           "--overwrite is false")  # fmt: skip
        taints = [t for t in taints if t is not clash]
        taints.append({"key": key, **({"value": value} if value else {}), "effect": effect})
        added, modified = added or clash is None, modified or clash is not None
    if added or modified:
        return taints, "modified" if (modified and not added) or removed else "tainted"
    return taints, "untainted"
