"""`kubectl api-resources`: what the server serves."""

from __future__ import annotations

from typing import Annotated

import typer

from api.registry import Resource
from kubectl.failures import CliError
from kubectl.session import Session, run
from kubectl.tabwriter import Columns


def command(
    api_group: Annotated[str | None, typer.Option("--api-group", help="Of this group")] = None,
    namespaced: Annotated[bool | None, typer.Option("--namespaced/--no-namespaced", help="Of this scope")] = None,
    verbs: Annotated[list[str] | None, typer.Option("--verbs", help="That support all of these")] = None,
    categories: Annotated[list[str] | None, typer.Option("--categories", help="In all of these")] = None,
    cached: Annotated[bool, typer.Option("--cached", help="From the cache when there is one")] = False,
    no_headers: Annotated[bool, typer.Option("--no-headers")] = False,
    sort_by: Annotated[str, typer.Option("--sort-by", help="name or kind")] = "",
    output: Annotated[str, typer.Option("-o", "--output", help="wide or name")] = "",
) -> None:
    if output not in ("", "wide", "name"):
        raise CliError(f"--output {output} is not available")
    if sort_by not in ("", "name", "kind"):
        raise CliError("--sort-by accepts only name or kind")
    wanted_verbs = {v for each in verbs or [] for v in each.split(",")}
    wanted_categories = {c for each in categories or [] for c in each.split(",")}

    async def verb(session: Session) -> None:
        catalog = await session.catalog() if cached else (await session.refreshed() or await session.catalog())
        rows = [
            r
            for r in catalog.preferred()
            if (api_group is None or r.group == api_group)
            and (namespaced is None or r.namespaced == namespaced)
            and wanted_verbs <= set(r.verbs)
            and wanted_categories <= set(r.categories)
        ]
        rows.sort(key=lambda r: r.plural if sort_by == "name" else r.kind if sort_by == "kind" else (r.group, r.plural))
        if output == "name":
            print("\n".join(sorted(r.qualified for r in rows)))
            return
        print(Columns().write(_table(rows, output == "wide", not no_headers)), end="")

    run(verb)


def _table(rows: list[Resource], wide: bool, headers: bool) -> list[list[str]]:
    table = [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]] if headers else []
    if headers and wide:
        table[0] += ["VERBS", "CATEGORIES"]
    for r in rows:
        line = [r.plural, ",".join(r.short_names), r.api_version, "true" if r.namespaced else "false", r.kind]
        table.append([*line, ",".join(r.verbs), ",".join(r.categories)] if wide else line)
    return table
