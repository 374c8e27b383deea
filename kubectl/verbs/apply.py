"""`kubectl apply`: make the server's objects as the files say, and leave alone what the files do not mention."""

from __future__ import annotations

import copy
import json
from typing import Annotated, Any

import typer

from api.builtin import BUILTIN
from api.errors import ApiError, Conflict, NotFound
from api.meta import Obj
from api.patch import three_way
from api.registry import Resource
from api.selectors import parse_labels
from kubectl import options as opt
from kubectl.documents import Document, read_documents
from kubectl.failures import CliError, raise_all, with_source
from kubectl.outputs import escape_html
from kubectl.results import Results
from kubectl.session import Session, run, say
from kubectl.targets import no_match, scope

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MANAGER = "kubectl-client-side-apply"
_ATTEMPTS = 5
_CONFLICTS = """\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""
_NOT_APPLIED = (
    "Warning: resource {name} is missing the {annotation} annotation which is required by kubectl apply. kubectl "
    "apply should only be used on resources created declaratively by either kubectl create --save-config or "
    "kubectl apply. The missing annotation will be patched automatically."
)


def command(
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
    validate: Annotated[str, typer.Option("--validate", help="strict (or true), warn, ignore (or false)")] = "strict",
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--no-overwrite", help="Overwrite what others changed meanwhile")
    ] = True,
    server_side: Annotated[bool, typer.Option("--server-side", help="Let the server do the merge")] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="With --server-side: take fields over from other managers")
    ] = False,
    field_manager: opt.FieldManager = "",
    show_managed_fields: opt.ShowManagedFields = False,
) -> None:
    if not filename:
        raise CliError("must specify one of -f and -k")
    results = Results(output, dry_run, show_managed_fields=show_managed_fields)
    if server_side and results.pretend:
        raise CliError("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)")
    if force_conflicts and not server_side:
        raise CliError("--force-conflicts only works with --server-side")

    async def verb(session: Session) -> None:
        manager = field_manager or ("kubectl" if server_side else _MANAGER)
        params = {**results.params, "fieldManager": manager, "fieldValidation": field_validation(validate)}
        if server_side and force_conflicts:
            params["force"] = "true"
        applier = _Applier(session, results, params, server_side=server_side, overwrite=overwrite)
        wanted = parse_labels(selector)
        for document in _documents(applier, filename, recursive):
            if wanted.matches(document.obj["metadata"].get("labels") or {}):
                await applier.apply(document)
        applier.finish()

    run(verb)


def _documents(applier: _Applier, filenames: list[str], recursive: bool) -> list[Document]:
    """All that can be read; a file that cannot is an error at the end."""
    documents: list[Document] = []
    for filename in filenames:
        try:
            for document in read_documents([filename], recursive=recursive):
                documents.append(document)
        except CliError as error:
            applier.errors.append(error)
    return documents


def field_validation(value: str) -> str:
    """The API's fieldValidation for --validate. CliError for an unknown word."""
    known = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}
    if value.lower() not in known:
        raise CliError(
            f'invalid - validate option "{value}"; must be one of: strict (or true), warn, ignore (or false)'
        )
    return known[value.lower()]


def encode(obj: Obj) -> str:
    """Compact JSON with sorted keys, as it stands in the last-applied annotation."""
    return escape_html(json.dumps(obj, separators=(",", ":"), sort_keys=True, ensure_ascii=False)) + "\n"


def with_last_applied(obj: Obj) -> Obj:
    """A copy that carries itself in its annotation; an annotation already there is not part of it."""
    bare = copy.deepcopy(obj)
    annotations = bare["metadata"].get("annotations") or {}
    bare["metadata"]["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    marked = copy.deepcopy(bare)
    marked["metadata"]["annotations"][LAST_APPLIED] = encode(bare)
    return marked


def last_applied(obj: Obj) -> Obj | None:
    """What the annotation of a live object says; None when there is none. CliError when it is not JSON."""
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        found: Obj = json.loads(text)
    except json.JSONDecodeError as error:
        raise CliError(f"unmarshalling the {LAST_APPLIED} annotation: {error}") from error
    return found


def merge_kind(resource: Resource) -> tuple[Resource | None, str]:
    """(the built-in row, strategic) or (None, merge) for kinds whose merge keys nobody told us."""
    row = BUILTIN.by_kind(resource.group, resource.version, resource.kind)
    return (row, "strategic") if row is not None else (None, "merge")


class _Applier:
    def __init__(
        self, session: Session, results: Results, params: dict[str, Any], *, server_side: bool, overwrite: bool
    ) -> None:
        self._session, self._results, self._params = session, results, params
        self._server_side, self._overwrite = server_side, overwrite
        self._applied: list[Obj] = []
        self._count = 0
        self.errors: list[Exception] = []

    async def apply(self, document: Document) -> None:
        self._count += 1
        try:
            resource = await self._session.resource_of(document.obj)
            if resource is None:
                raise no_match(document.obj, document.source)
            await self._one(resource, document)
        except (ApiError, CliError) as error:
            self.errors.append(error)

    def finish(self) -> None:
        if not self._count and not self.errors:
            raise CliError("no objects passed to apply")
        self._results.show_list(self._applied)
        raise_all(self.errors)

    async def _one(self, resource: Resource, document: Document) -> None:
        obj = copy.deepcopy(document.obj)
        metadata = obj["metadata"]
        namespace = scope(self._session, resource, metadata.get("namespace") or "")
        if namespace:
            metadata["namespace"] = namespace
        name = metadata.get("name") or ""
        if not name:
            if metadata.get("generateName"):
                raise CliError(f"from {metadata['generateName']}: cannot use generate name with apply")
            raise CliError(f"error when retrieving current configuration of:\n{_about(resource, obj)}\nfrom server "
                           f'for: "{document.source}": resource name may not be empty')  # fmt: skip
        if self._server_side:
            try:
                applied = await self._session.patch(resource, namespace, name, obj, "apply", params=self._params)
            except Conflict as error:
                raise CliError(f"{error.message}\n{_CONFLICTS}") from error
            self._report(resource, applied, "serverside-applied")
            return
        modified = with_last_applied(obj)
        try:
            current = await self._session.get(resource, name, namespace)
        except NotFound:
            await self._create(resource, namespace, modified, document.source)
            return
        except ApiError as error:
            raise with_source(
                error,
                f"retrieving current configuration of:\n{_about(resource, obj)}\nfrom server for:",
                document.source,
            ) from error
        await self._update(resource, current, modified, document.source)

    async def _create(self, resource: Resource, namespace: str, modified: Obj, source: str) -> None:
        created = modified
        if not self._results.pretend:
            try:
                created = await self._session.call("POST", resource.path(namespace), params=self._params, body=modified)
            except ApiError as error:
                raise with_source(error, "creating", source) from error
        self._report(resource, created, "created")

    async def _update(self, resource: Resource, current: Obj, modified: Obj, source: str) -> None:
        metadata = current["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace") or ""
        if last_applied(current) is None:
            shown = f"{resource.plural}/{name}"
            say(_NOT_APPLIED.format(name=shown, annotation=LAST_APPLIED))
        row, kind = merge_kind(resource)
        patch: Obj = {}
        for attempt in range(1, _ATTEMPTS + 1):
            patch = three_way.merge(row, last_applied(current), modified, current)
            if not patch:
                self._report(resource, current, "unchanged")
                return
            if self._results.pretend:
                self._report(resource, modified, "configured")
                return
            try:
                patched = await self._session.patch(resource, namespace, name, patch, kind, params=self._params)
            except Conflict as error:
                if attempt == _ATTEMPTS or not self._overwrite:
                    raise self._failed(error, resource, current, patch, source) from error
                current = await self._session.get(resource, name, namespace)
                continue
            except ApiError as error:
                raise self._failed(error, resource, current, patch, source) from error
            self._report(resource, patched, "configured")
            return

    def _failed(self, error: ApiError, resource: Resource, current: Obj, patch: Obj, source: str) -> ApiError:
        sent = escape_html(json.dumps(patch, separators=(",", ":"), sort_keys=True, ensure_ascii=False))
        return with_source(error, f"applying patch:\n{sent}\nto:\n{_about(resource, current)}\nfor:", source)

    def _report(self, resource: Resource, obj: Obj, operation: str) -> None:
        if self._results.asked:
            self._applied.append(obj)
        else:
            self._results.show(resource, obj, operation)


def _about(resource: Resource, obj: Obj) -> str:
    metadata, group = obj["metadata"], f"{resource.group}/" if resource.group else "/"
    version = f"{group}{resource.version}"
    return (
        f'Resource: "{version}, Resource={resource.plural}", GroupVersionKind: "{version}, Kind={resource.kind}"\n'
        f'Name: "{metadata.get("name", "")}", Namespace: "{metadata.get("namespace", "")}"'
    )
