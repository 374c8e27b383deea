"""`kubectl replace`: put whole objects from files in the place of those that exist."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.errors import ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from kubectl import options as opt
from kubectl.documents import Document, read_documents
from kubectl.failures import CliError, raise_all, with_source
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import no_match, scope
from kubectl.verbs.apply import LAST_APPLIED, field_validation, with_last_applied


def command(
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    force: Annotated[bool, typer.Option("--force", help="Delete, then create anew")] = False,
    save_config: Annotated[bool, typer.Option("--save-config", help="Store the configuration for apply")] = False,
    validate: Annotated[str, typer.Option("--validate", help="strict (or true), warn, ignore (or false)")] = "strict",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    if not filename:
        raise CliError("must specify one of -f and -k")
    results = Results(output, dry_run)
    params = {**results.params, "fieldManager": "kubectl-replace", "fieldValidation": field_validation(validate)}

    async def verb(session: Session) -> None:
        errors: list[Exception] = []
        for document in read_documents(filename, recursive=recursive):
            try:
                await _replace(session, document, results, params, force, save_config)
            except (ApiError, CliError) as error:
                errors.append(error)
        raise_all(errors)

    run(verb)


async def _replace(
    session: Session, document: Document, results: Results, params: dict[str, Any], force: bool, save_config: bool
) -> None:
    obj = document.obj
    resource = await session.resource_of(obj)
    if resource is None:
        raise no_match(obj, document.source)
    metadata = obj["metadata"]
    namespace = scope(session, resource, metadata.get("namespace") or "")
    if namespace:
        metadata["namespace"] = namespace
    if save_config or LAST_APPLIED in (metadata.get("annotations") or {}):
        obj = with_last_applied(obj)
    if results.pretend:
        results.show(resource, obj, "replaced")
        return
    try:
        if force:
            await _delete(session, resource, namespace, metadata["name"])
            made = await session.call("POST", resource.path(namespace), params=params, body=obj)
        else:
            path = resource.path(namespace, metadata.get("name") or "")
            made = await session.call("PUT", path, params=params, body=obj)
    except ApiError as error:
        raise with_source(error, "replacing", document.source) from error
    results.show(resource, made, "replaced")


async def _delete(session: Session, resource: Resource, namespace: str, name: str) -> None:
    path = resource.path(namespace, name)
    try:
        live: Obj = await session.get(resource, name, namespace)
        await session.call("DELETE", path, body={"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    except NotFound:
        return
    version = str(live["metadata"].get("resourceVersion") or "")
    async with session.events(resource, namespace, fields=f"metadata.name={name}", resource_version=version) as changes:
        async for event, _ in changes:
            if event == "DELETED":
                return
