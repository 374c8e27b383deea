"""`kubectl get`: objects as the server's tables, or in a format of -o; with -w also as they change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import groupby
from typing import Annotated, Any

import typer

from api.errors import ApiError, NotFound, from_status
from api.meta import Obj
from api.registry import Resource
from kubectl import options as opt
from kubectl.failures import CliError, raise_all
from kubectl.outputs import Printer, printer
from kubectl.results import as_list
from kubectl.session import Session, run, say
from kubectl.tables import ACCEPT, TablePrinter, View, sort_objects, sort_rows
from kubectl.targets import Target, find_targets

_NO_ARGUMENTS = (
    'You must specify the type of resource to get. Use "kubectl api-resources" for a complete list of supported '
    "resources.\n\nerror: Required resource not specified.\n"
    'Use "kubectl explain <resource>" for a detailed description of that resource (e.g. kubectl explain pods).\n'
    "See 'kubectl get -h' for help and examples"
)


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    output: opt.Output = "",
    watch: Annotated[bool, typer.Option("-w", "--watch", help="After listing, watch for changes")] = False,
    watch_only: Annotated[bool, typer.Option("--watch-only", help="Watch without listing first")] = False,
    output_watch_events: Annotated[
        bool, typer.Option("--output-watch-events", help="Show the event with each object of a watch")
    ] = False,
    all_namespaces: opt.AllNamespaces = False,
    selector: opt.Selector = "",
    field_selector: opt.FieldSelector = "",
    show_labels: Annotated[bool, typer.Option("--show-labels", help="Labels as the last column")] = False,
    label_columns: Annotated[
        list[str] | None, typer.Option("-L", "--label-columns", help="Labels to show as columns")
    ] = None,
    show_kind: Annotated[bool, typer.Option("--show-kind", help="The kind before each name")] = False,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="No header line")] = False,
    sort_by: Annotated[str, typer.Option("--sort-by", help="JSONPath of the field to sort by")] = "",
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="An object that does not exist is no error")
    ] = False,
    subresource: Annotated[str, typer.Option("--subresource", help="Get this subresource: status, scale")] = "",
    raw: Annotated[str, typer.Option("--raw", help="Get this path of the server as it is")] = "",
    chunk_size: Annotated[int, typer.Option("--chunk-size", help="Objects per request; 0 is all at once")] = 500,
    show_managed_fields: opt.ShowManagedFields = False,
) -> None:
    if raw:
        run(lambda session: _raw(session, raw))
        return
    if not arguments and not filename:
        raise CliError(_NO_ARGUMENTS, bare=True)
    shown = printer(output, show_managed_fields=show_managed_fields, no_headers=no_headers)
    view = View(
        wide=output == "wide",
        namespaces=all_namespaces,
        headers=not no_headers,
        labels=show_labels,
        label_columns=[c for each in label_columns or [] for c in each.split(",")],
    )

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session,
            arguments or [],
            filenames=filename,
            recursive=recursive,
            selector=selector,
            all_namespaces=all_namespaces,
        )
        query = Query(session, targets, selector, field_selector, subresource, chunk_size, ignore_not_found)
        if watch or watch_only:
            await query.watch(view, shown, list_first=not watch_only, events=output_watch_events)
        elif shown is None:
            await query.tables(view, sort_by, show_kind, all_namespaces)
        else:
            await query.objects(shown, sort_by)

    run(verb)


async def _raw(session: Session, path: str) -> None:
    response = await session.client.request("GET", path)
    print(response.text, end="")


class Query:
    """What is asked for; each method answers in one form."""

    def __init__(
        self,
        session: Session,
        targets: list[Target],
        labels: str,
        fields: str,
        subresource: str,
        chunk: int,
        ignore_not_found: bool,
    ) -> None:
        self._session = session
        self._targets = targets
        self._labels, self._fields = labels, fields
        self._subresource, self._chunk = subresource, chunk
        self._ignore_not_found = ignore_not_found
        self._errors: list[Exception] = []

    async def _answers(self, target: Target, accept: str, extra: dict[str, Any] | None = None) -> AsyncIterator[Obj]:
        """The object of a named target, the pages of a list. What fails is kept for the end."""
        session, resource = self._session, target.resource
        try:
            if target.name:
                path = resource.path(target.namespace, target.name, self._subresource)
                yield await session.call("GET", path, params=extra, accept=accept)
                return
            async for page in session.pages(
                resource,
                target.namespace,
                labels=self._labels,
                fields=self._fields,
                accept=accept,
                limit=self._chunk,
                extra=extra,
            ):
                yield page
        except NotFound as error:
            if not (self._ignore_not_found and target.name):
                self._errors.append(error)
        except ApiError as error:
            self._errors.append(error)

    async def tables(self, view: View, sort_by: str, show_kind: bool, all_namespaces: bool) -> None:
        several = len({(t.resource.group, t.resource.plural) for t in self._targets}) > 1
        extra = {"includeObject": "Object"} if sort_by else None
        printed = 0
        for resource, targets in groupby(self._targets, key=lambda t: t.resource):
            kind = _kind(resource) if several or show_kind else ""
            table_view = _for(view, resource, kind)
            out = TablePrinter(table_view)
            rows_before = printed
            sorted_rows: list[Obj] = []
            columns: list[Obj] = []
            for target in targets:
                async for answer in self._answers(target, ACCEPT, extra):
                    table = as_table(answer)
                    rows = table.get("rows") or []
                    if sort_by:
                        sorted_rows += rows
                        columns = table.get("columnDefinitions") or columns
                    elif rows:
                        if printed == rows_before and printed:
                            print()
                        print(out.write(table), end="", flush=True)
                    printed += len(rows)
            if sorted_rows:
                if rows_before:
                    print()
                table = {"columnDefinitions": columns, "rows": sort_rows(sorted_rows, sort_by)}
                print(out.write(table), end="")
        if not printed and not self._errors and not self._ignore_not_found:
            scoped = not all_namespaces and any(t.resource.namespaced for t in self._targets)
            say(f"No resources found in {self._session.namespace} namespace." if scoped else "No resources found")
        raise_all(self._errors)

    async def objects(self, shown: Printer, sort_by: str) -> None:
        items: list[Obj] = []
        for target in self._targets:
            async for answer in self._answers(target, "application/json"):
                if target.name:
                    items.append(answer)
                    continue
                kind = {"apiVersion": target.resource.api_version, "kind": target.resource.kind}
                items += [{**kind, **item} for item in answer.get("items") or []]
        if sort_by:
            items = sort_objects(items, sort_by)
        single = len(self._targets) == 1 and self._targets[0].name
        if not single:
            print(shown(as_list(items)), end="")
        elif items:
            print(shown(items[0]), end="")
        raise_all(self._errors)

    async def watch(self, view: View, shown: Printer | None, *, list_first: bool, events: bool) -> None:
        if len(self._targets) != 1:
            raise CliError("watch is only supported on individual resources and resource collections"
                           f" - {len(self._targets)} resources were found")  # fmt: skip
        target = self._targets[0]
        session, resource = self._session, target.resource
        fields = f"metadata.name={target.name}" if target.name else self._fields
        accept = "application/json" if shown else ACCEPT
        out = TablePrinter(_for(view, resource, ""))
        version = ""
        async for page in (
            self._answers(Target(resource, "", target.namespace), accept)
            if not target.name
            else (session.pages(resource, target.namespace, fields=fields, accept=accept))
        ):
            version = str((page.get("metadata") or {}).get("resourceVersion") or "")
            if list_first and shown is None and page.get("rows"):
                print(out.write(page, "ADDED" if events else ""), end="", flush=True)
            for item in (page.get("items") or []) if list_first and shown else []:
                kind = {"apiVersion": resource.api_version, "kind": resource.kind}
                _print_event(shown, {**kind, **item}, "ADDED", events)
        raise_all(self._errors)
        async with session.events(
            resource,
            target.namespace,
            labels=self._labels,
            fields=fields,
            resource_version=version,
            accept=accept,
        ) as changes:
            async for kind_of_event, obj in changes:
                if kind_of_event == "ERROR":
                    raise from_status(obj, int(obj.get("code") or 500))
                if shown is not None:
                    _print_event(shown, obj, kind_of_event, events)
                else:
                    print(out.write(as_table(obj), kind_of_event if events else ""), end="", flush=True)


def _print_event(shown: Printer | None, obj: Obj, event: str, events: bool) -> None:
    if shown is not None:
        print(shown({"type": event, "object": obj, "metadata": {}} if events else obj), end="", flush=True)


def _kind(resource: Resource) -> str:
    return f"{resource.kind.lower()}.{resource.group}" if resource.group else resource.kind.lower()


def _for(view: View, resource: Resource, kind: str) -> View:
    """The view of one kind: no namespace column for what has no namespace."""
    return View(view.wide, view.namespaces and resource.namespaced, view.headers, view.labels, view.label_columns, kind)


def as_table(answer: Obj) -> Obj:
    """A server without tables for a kind sends the objects: their names and creation times make one."""
    if answer.get("kind") == "Table":
        return answer
    items = answer["items"] if isinstance(answer.get("items"), list) else [answer]
    return {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name"}, {"name": "Created At"}],
        "rows": [
            {"cells": [i["metadata"]["name"], i["metadata"].get("creationTimestamp", "")], "object": i} for i in items
        ],
    }
