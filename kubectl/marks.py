"""What `label` and `annotate` share: `key=value` sets, `key-` removes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.errors import ApiError
from api.meta import Obj
from api.selectors import is_label_value
from kubectl.failures import CliError, raise_all
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import Target, find_targets


@dataclass(frozen=True, slots=True)
class Marks:
    field: str  # labels or annotations
    singular: str
    set_: str
    removed: str
    unchanged: str


def split_changes(arguments: list[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """(resources, what to set, what to remove). CliError when a key is both set and removed."""
    resources: list[str] = []
    new: dict[str, str] = {}
    removed: list[str] = []
    for position, argument in enumerate(arguments):
        if "=" in argument and not argument.startswith("="):
            key, _, value = argument.partition("=")
            new[key] = value
        elif position and argument.endswith("-") and len(argument) > 1:
            removed.append(argument[:-1])
        elif new or removed:
            raise CliError(f"all resources must be specified before label changes: {argument}")
        else:
            resources.append(argument)
    return resources, new, removed


def check(marks: Marks, new: dict[str, str], removed: list[str]) -> None:
    for key in (*new, *removed):
        if key in new and key in removed:
            raise CliError(f"can not both modify and remove a {marks.singular} in the same command")
    if marks.field == "labels":
        for key, value in new.items():
            if not is_label_value(value):
                raise CliError(
                    f'invalid label value: "{key}={value}": a valid label must be an empty string or consist of '
                    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
                    "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                )


def plan(
    marks: Marks, obj: Obj, new: dict[str, str], removed: list[str], overwrite: bool
) -> tuple[Obj, str, list[str]]:
    """(merge patch or {}, what is said, keys that were to be removed and are not there)."""
    have = obj["metadata"].get(marks.field) or {}
    if not overwrite:
        clashes = [k for k in new if k in have and have[k] != new[k]]
        if clashes:
            shown = [f"'{k}' already has a value ({have[k]}), and --overwrite is false" for k in clashes]
            listed = "; ".join(shown) if len(shown) == 1 else f"[{', '.join(shown)}]"
            if marks.field == "annotations":
                found = "--overwrite is false but found the following declared annotation(s): "
                listed = found + "; ".join(f"'{k}' already has a value ({have[k]})" for k in clashes)
            raise CliError(listed)
    changes: dict[str, Any] = {k: v for k, v in new.items() if have.get(k) != v}
    changes |= {k: None for k in removed if k in have}
    missing = [k for k in removed if k not in have] if marks.field == "labels" else []
    if not changes:
        return {}, marks.unchanged, missing
    only_removed = all(v is None for v in changes.values())
    return {"metadata": {marks.field: changes}}, marks.removed if only_removed else marks.set_, missing


def change_marks(
    marks: Marks,
    arguments: list[str],
    filename: list[str] | None,
    recursive: bool,
    selector: str,
    field_selector: str,
    everything: bool,
    all_namespaces: bool,
    overwrite: bool,
    list_only: bool,
    dry_run: str,
    output: str,
    resource_version: str,
) -> None:
    results = Results(output, dry_run)
    resources, new, removed = split_changes(arguments)
    if not resources and not filename:
        raise CliError("one or more resources must be specified as <resource> <name> or <resource>/<name>")
    if not new and not removed and not list_only:
        raise CliError(f"at least one {marks.singular} update is required")
    check(marks, new, removed)

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session,
            resources,
            filenames=filename,
            recursive=recursive,
            selector=selector or field_selector,
            all_namespaces=all_namespaces,
            everything=everything,
            need_name=not filename,
        )
        errors: list[Exception] = []
        for target in targets:
            try:
                for obj in await objects(session, target, selector, field_selector):
                    if list_only:
                        values = obj["metadata"].get(marks.field) or {}
                        print("".join(f"{k}={v}\n" for k, v in sorted(values.items())), end="")
                        continue
                    await _change(session, marks, target, obj, new, removed, overwrite, results, resource_version)
            except (ApiError, CliError) as error:
                errors.append(error)
        raise_all(errors)

    run(verb)


async def objects(session: Session, target: Target, labels: str = "", fields: str = "") -> list[Obj]:
    """The object of a named target, else all that the selectors pick."""
    if target.name:
        return [await session.get(target.resource, target.name, target.namespace)]
    return await session.list(target.resource, target.namespace, labels=labels, fields=fields)


async def _change(
    session: Session,
    marks: Marks,
    target: Target,
    obj: Obj,
    new: dict[str, str],
    removed: list[str],
    overwrite: bool,
    results: Results,
    resource_version: str,
) -> None:
    patch, said, missing = plan(marks, obj, new, removed, overwrite)
    for key in missing:
        print(f'{marks.singular} "{key}" not found.')
    if patch and not results.pretend:
        if resource_version:
            patch["metadata"]["resourceVersion"] = resource_version
        metadata = obj["metadata"]
        obj = await session.patch(
            target.resource,
            metadata.get("namespace") or "",
            metadata["name"],
            patch,
            "merge",
            params={**results.params, "fieldManager": f"kubectl-{marks.singular}"},
        )
    results.show(target.resource, obj, said)
