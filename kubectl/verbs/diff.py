"""`kubectl diff`: what an apply of these files would change. Exit code 1 when there are differences."""

from __future__ import annotations

import copy
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from api.errors import NotFound
from api.meta import Obj
from api.patch import three_way
from api.registry import Resource
from kubectl import options as opt
from kubectl.documents import read_documents
from kubectl.failures import CliError
from kubectl.outputs import to_yaml, without_managed_fields
from kubectl.session import Session, run
from kubectl.targets import no_match, scope
from kubectl.verbs.apply import last_applied, merge_kind


def command(filename: opt.Filenames = None, recursive: opt.Recursive = False) -> None:
    if not filename:
        raise CliError("must specify one of -f and -k")

    async def verb(session: Session) -> int:
        folder = tempfile.TemporaryDirectory
        with folder(prefix="LIVE-") as live, folder(prefix="MERGED-") as merged:
            for document in read_documents(filename, recursive=recursive):
                resource = await session.resource_of(document.obj)
                if resource is None:
                    raise no_match(document.obj, document.source)
                before, after = await _both(session, resource, document.obj)
                name = _file_name(resource, after)
                shown = "" if before is None else to_yaml(without_managed_fields(before))
                (Path(live) / name).write_text(shown)
                (Path(merged) / name).write_text(to_yaml(without_managed_fields(after)))
            return _compare(live, merged)

    run(verb)


async def _both(session: Session, resource: Resource, wanted: Obj) -> tuple[Obj | None, Obj]:
    """(live or None, what the server would make of it)."""
    obj = copy.deepcopy(wanted)
    metadata = obj["metadata"]
    namespace = scope(session, resource, metadata.get("namespace") or "")
    if namespace:
        metadata["namespace"] = namespace
    params = {"dryRun": "All", "fieldManager": "kubectl-client-side-apply"}
    try:
        live = await session.get(resource, metadata["name"], namespace)
    except NotFound:
        return None, await session.call("POST", resource.path(namespace), params=params, body=obj)
    row, kind = merge_kind(resource)
    patch = three_way.merge(row, last_applied(live), obj, live)
    if not patch:
        return live, live
    return live, await session.patch(resource, namespace, metadata["name"], patch, kind, params=params)


def _file_name(resource: Resource, obj: Obj) -> str:
    parts = (resource.group, resource.version, resource.kind, obj["metadata"].get("namespace") or "")
    return ".".join([*(p for p in parts if p), obj["metadata"]["name"]])


def _compare(live: str, merged: str) -> int:
    program = shlex.split(os.environ.get("KUBECTL_EXTERNAL_DIFF") or "diff")
    try:
        code = subprocess.run([*program, "-u", "-N", live, merged], check=False).returncode
    except OSError as error:
        raise CliError(f'executable file "{program[0]}" cannot be run: {error.strerror}', 2) from error
    if code > 1:
        raise CliError(f"exit status {code}", code)
    return code
