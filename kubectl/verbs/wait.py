"""`kubectl wait`: until a condition holds, a field has a value, or an object is gone or there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated

import typer

from api.errors import NotFound
from api.jsonpath import JSONPathError, Template, relaxed, shown
from api.meta import Obj
from kubectl import options as opt
from kubectl.failures import CliError, raise_all
from kubectl.flags import duration
from kubectl.results import reference
from kubectl.session import Session, run
from kubectl.targets import Target, find_targets

Test = Callable[[Obj], bool]


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    field_selector: opt.FieldSelector = "",
    all_: opt.All = False,
    all_namespaces: opt.AllNamespaces = False,
    for_: Annotated[
        list[str] | None,
        typer.Option("--for", help="create, delete, condition=NAME[=VALUE], jsonpath=PATH[=VALUE]"),
    ] = None,
    timeout: opt.Timeout = "30s",
    output: Annotated[str, typer.Option("-o", "--output", help="name, json or yaml")] = "",
) -> None:
    if not for_:
        raise CliError("unrecognized condition: []")
    if not arguments and not filename:
        raise CliError("you must specify one or more resources by argument or filename")
    seconds = duration(timeout)
    if seconds < 0:
        seconds = 7 * 24 * 3600.0

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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        errors: list[Exception] = []
        for wanted in for_:
            named = await _named(session, targets, selector, field_selector)
            if not named and wanted.lower() != "delete":
                raise CliError("no matching resources found")
            for target in named:
                try:
                    async with asyncio.timeout_at(max(deadline, loop.time() + 0.001)):
                        met = await _until(session, target, wanted)
                except TimeoutError:
                    shown_name = f"{target.resource.plural}/{target.name}"
                    errors.append(CliError(f"timed out waiting for the condition on {shown_name}"))
                    continue
                if met:
                    print(f"{reference(target.resource, target.name)}" + ("" if output == "name" else " condition met"))
        raise_all(errors)

    run(verb)


async def _named(session: Session, targets: list[Target], labels: str, fields: str) -> list[Target]:
    found = []
    for target in targets:
        if target.name:
            found.append(target)
            continue
        for item in await session.list(target.resource, target.namespace, labels=labels, fields=fields):
            metadata = item["metadata"]
            found.append(Target(target.resource, metadata["name"], metadata.get("namespace") or ""))
    return found


async def _until(session: Session, target: Target, wanted: str) -> bool:
    """False when the object whose end is waited for was never there."""
    gone = wanted.lower() == "delete"
    created = wanted.lower() == "create"
    test: Test = (lambda _: created) if gone or created else parse_test(wanted)
    first_uid = ""
    while True:
        version = ""
        try:
            obj = await session.get(target.resource, target.name, target.namespace)
        except NotFound:
            if gone:
                return bool(first_uid)
            if not created:
                raise
            version = await _list_version(session, target)
        else:
            uid = obj["metadata"].get("uid", "")
            if gone and first_uid and uid != first_uid:
                return True
            first_uid = first_uid or uid
            if not gone and test(obj):
                return True
            version = str(obj["metadata"].get("resourceVersion") or "")
        if await _watched(session, target, version, test, gone):
            return True


async def _list_version(session: Session, target: Target) -> str:
    page = await session.call(
        "GET", target.resource.path(target.namespace), params={"fieldSelector": f"metadata.name={target.name}"}
    )
    return str(page["metadata"].get("resourceVersion") or "")


async def _watched(session: Session, target: Target, version: str, test: Test, gone: bool) -> bool:
    """True when it came about; False when the watch ended before."""
    async with session.events(
        target.resource, target.namespace, fields=f"metadata.name={target.name}", resource_version=version
    ) as changes:
        async for event, obj in changes:
            if event == "ERROR":
                return False
            if event == "DELETED":
                if gone:
                    return True
                continue
            if not gone and test(obj):
                return True
    return False


def parse_test(wanted: str) -> Test:
    """`condition=Ready`, `condition=Ready=False`, `jsonpath={.status.phase}=Running`. CliError when malformed."""
    kind, _, rest = wanted.partition("=")
    if kind == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda obj: _condition(obj, name, value or "true")
    if kind == "jsonpath" and rest:
        match = re.fullmatch(r"('?)(\{.*\}|[^=]+)\1(?:=(.*))?", rest, re.DOTALL)
        if match is None:
            raise CliError(f"jsonpath wait format must be --for=jsonpath='{{.status.readyReplicas}}'=3 or "
                           f"--for=jsonpath='{{.status.readyReplicas}}', not {rest!r}")  # fmt: skip
        try:
            template = Template(relaxed(match[2]) if not match[2].startswith("{") else match[2])
        except JSONPathError as error:
            raise CliError(str(error)) from error
        expected = match[3].strip("'\"") if match[3] is not None else None
        return lambda obj: _field(obj, template, expected)
    raise CliError(f'unrecognized condition: "{wanted}"')


def _condition(obj: Obj, name: str, value: str) -> bool:
    status = obj.get("status") or {}
    for condition in status.get("conditions") or []:
        if str(condition.get("type", "")).lower() != name.lower():
            continue
        observed = condition.get("observedGeneration", status.get("observedGeneration"))
        if observed is not None and observed < obj["metadata"].get("generation", 0):
            return False
        return str(condition.get("status", "")).lower() == value.lower()
    return False


def _field(obj: Obj, template: Template, value: str | None) -> bool:
    found = [v for values in template.find(obj) for v in values]
    if not found:
        return False
    if len(found) > 1:
        raise CliError("given jsonpath expression matches more than one value")
    if isinstance(found[0], dict | list):
        raise CliError("jsonpath leads to a nested object or list, only primitive values can be compared")
    return value is None or shown(found[0]).lower() == value.lower()
