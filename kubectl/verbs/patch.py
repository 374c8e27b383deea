"""`kubectl patch`: change fields of an object by a strategic merge, JSON merge or JSON patch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.builtin import BUILTIN
from api.errors import ApiError
from api.patch import json_patch, merge, strategic
from kubectl import options as opt
from kubectl.failures import CliError, raise_all
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import Target, find_targets
from kubectl.yamlio import YAMLError, load

_KINDS = ("json", "merge", "strategic")


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    patch: Annotated[str, typer.Option("-p", "--patch", help="The patch, as JSON or YAML")] = "",
    patch_file: Annotated[str, typer.Option("--patch-file", help="A file with the patch")] = "",
    type_: Annotated[str, typer.Option("--type", help="json, merge or strategic")] = "strategic",
    subresource: Annotated[str, typer.Option("--subresource", help="status or scale")] = "",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
    field_manager: opt.FieldManager = "kubectl-patch",
) -> None:
    if type_ not in _KINDS:
        raise CliError(f'--type must be one of [json merge strategic], not "{type_}"')
    if bool(patch) == bool(patch_file):
        raise CliError("must specify exactly one of --patch or --patch-file" if patch
                       else "must specify --patch or --patch-file containing the contents of the patch")  # fmt: skip
    results = Results(output, dry_run)
    wanted = parse_patch(Path(patch_file).read_text() if patch_file else patch)

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session, arguments or [], filenames=filename, recursive=recursive, need_name=not filename
        )
        errors: list[Exception] = []
        params = {**results.params, "fieldManager": field_manager}
        for target in targets:
            try:
                await _patch(session, target, wanted, type_, subresource, params, results)
            except ApiError as error:
                errors.append(error)
        raise_all(errors)

    run(verb)


def parse_patch(text: str) -> Any:
    """JSON or YAML; CliError when it is neither."""
    try:
        return load(text)
    except YAMLError as error:
        raise CliError(f'unable to parse "{text}": {error}') from error


async def _patch(
    session: Session,
    target: Target,
    patch: Any,
    kind: str,
    subresource: str,
    params: dict[str, Any],
    results: Results,
) -> None:
    resource = target.resource
    old = await session.get(resource, target.name, target.namespace)
    if results.pretend:
        row = BUILTIN.by_kind(resource.group, resource.version, resource.kind)
        if kind == "json":
            new = json_patch.apply(old, patch)
        elif kind == "merge" or row is None:
            new = merge.apply(old, patch)
        else:
            new = strategic.apply(row, old, patch)
    else:
        new = await session.patch(
            resource, target.namespace, target.name, patch, kind, params=params, subresource=subresource
        )
    unchanged = old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion")
    if results.pretend:
        unchanged = old == new
    results.show(resource, new, "patched (no change)" if unchanged else "patched")
