"""`kubectl events`: what happened, oldest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from api.builtin import EVENTS
from api.errors import from_status
from api.meta import Obj
from kubectl import options as opt
from kubectl.describe.events import last_seen, seen
from kubectl.describe.sheet import Sheet
from kubectl.failures import CliError
from kubectl.outputs import printer
from kubectl.results import as_list
from kubectl.session import Session, run, say
from kubectl.tabwriter import Columns
from kubectl.targets import find_targets


def command(
    all_namespaces: opt.AllNamespaces = False,
    for_: Annotated[str, typer.Option("--for", help="Only of this TYPE/NAME")] = "",
    types: Annotated[list[str] | None, typer.Option("--types", help="Normal, Warning")] = None,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Stay and show what comes")] = False,
    no_headers: Annotated[bool, typer.Option("--no-headers")] = False,
    output: opt.ResultOutput = "",
) -> None:
    shown = printer(output)
    wanted = {t.lower() for each in types or [] for t in each.split(",")}
    if wanted - {"normal", "warning"}:
        raise CliError("valid --types are Normal or Warning")

    async def verb(session: Session) -> None:
        namespace = "" if all_namespaces else session.namespace
        fields = ""
        if for_:
            target = (await find_targets(session, [for_], need_name=True))[0]
            fields = f"involvedObject.kind={target.resource.kind},involvedObject.name={target.name}"

        def fits(event: Obj) -> bool:
            return not wanted or str(event.get("type", "")).lower() in wanted

        items = sorted(filter(fits, await session.list(EVENTS, namespace, fields=fields)), key=last_seen)
        if shown is not None:
            print(shown(as_list(items)), end="")
            return
        if not items and not watch:
            say(f"No events found in {namespace} namespace." if namespace else "No events found.")
            return
        columns = Columns()
        header = [] if no_headers else [_cells(None, all_namespaces)]
        print(columns.write([*header, *(_cells(e, all_namespaces) for e in items)]), end="", flush=True)
        if not watch:
            return
        async with session.events(EVENTS, namespace, fields=fields) as changes:
            known = {e["metadata"]["uid"]: e["metadata"].get("resourceVersion") for e in items}
            async for kind, event in changes:
                if kind == "ERROR":
                    raise from_status(event, int(event.get("code") or 500))
                metadata = event["metadata"]
                if kind == "DELETED" or not fits(event) or known.get(metadata["uid"]) == metadata["resourceVersion"]:
                    continue
                print(columns.write([_cells(event, all_namespaces)]), end="", flush=True)

    run(verb)


def _cells(event: Obj | None, namespaces: bool) -> list[str]:
    """One row; of None the header."""
    if event is None:
        row = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        return ["NAMESPACE", *row] if namespaces else row
    about = event.get("involvedObject") or {}
    row = [
        seen(Sheet(datetime.now(UTC)), event),
        str(event.get("type", "")),
        str(event.get("reason", "")),
        f"{about.get('kind', '')}/{about.get('name', '')}",
        str(event.get("message", "")).strip().replace("\n", " "),
    ]
    return [event["metadata"].get("namespace", ""), *row] if namespaces else row
