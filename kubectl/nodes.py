"""What `cordon` and `uncordon` share."""

from __future__ import annotations

from api.builtin import NODES
from api.errors import ApiError
from api.meta import Obj
from kubectl.failures import CliError, raise_all
from kubectl.results import DRY_RUNS, Results
from kubectl.session import Session, run
from kubectl.targets import Target


def mark(arguments: list[str] | None, selector: str, dry_run: str, *, unschedulable: bool) -> None:
    verb_name = "cordon" if unschedulable else "uncordon"
    if not arguments and not selector:
        raise CliError(f"USAGE: {verb_name} NODE [flags]\nSee 'kubectl {verb_name} -h' for help and examples")
    results = Results("", dry_run)
    done = f"{verb_name}ed"

    async def verb(session: Session) -> None:
        errors: list[Exception] = []
        targets = [Target(NODES, name.removeprefix("node/")) for name in arguments or []]
        if selector:
            targets += [Target(NODES, n["metadata"]["name"]) for n in await session.list(NODES, labels=selector)]
        for target in targets:
            try:
                node: Obj = await session.get(NODES, target.name)
            except ApiError as error:
                errors.append(error)
                continue
            if bool((node.get("spec") or {}).get("unschedulable")) == unschedulable:
                print(f"node/{target.name} already {done}{DRY_RUNS[dry_run]}")
                continue
            if not results.pretend:
                patch = {"spec": {"unschedulable": True if unschedulable else None}}
                await session.patch(NODES, "", target.name, patch, "strategic", params=results.params)
            results.show(NODES, node, done)
        raise_all(errors)

    run(verb)
