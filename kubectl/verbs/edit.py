"""`kubectl edit`: the object in $KUBE_EDITOR or $EDITOR; what was changed is sent as a patch."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from api.errors import ApiError
from api.meta import Obj
from api.patch import three_way
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.outputs import to_yaml, without_managed_fields
from kubectl.results import Results
from kubectl.session import Session, run, say
from kubectl.targets import Target, find_targets
from kubectl.verbs.apply import merge_kind
from kubectl.yamlio import YAMLError, load

_HEADER = (
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n#\n"
)


def command(arguments: opt.Arguments = None, filename: opt.Filenames = None, output: opt.ResultOutput = "") -> None:
    results = Results(output)

    async def verb(session: Session) -> None:
        for target in await find_targets(session, arguments or [], filenames=filename, need_name=not filename):
            await _edit(session, target, results)

    run(verb)


async def _edit(session: Session, target: Target, results: Results) -> None:
    live = without_managed_fields(await session.get(target.resource, target.name, target.namespace))
    text, why = _HEADER + to_yaml(live), ""
    while True:
        edited = _in_editor(text if not why else _with_reason(text, why))
        wanted = _parsed(edited)
        if wanted is None or wanted == live:
            say("Edit cancelled, no changes made." if not why else "Edit cancelled, no valid changes were saved.")
            return
        row, kind = merge_kind(target.resource)
        patch = three_way.merge(row, live, wanted, live)
        try:
            changed = await session.patch(target.resource, target.namespace, target.name, patch, kind)
        except ApiError as error:
            if edited == text:
                raise
            text, why = edited, error.message
            continue
        results.show(target.resource, changed, "edited")
        return


def _with_reason(text: str, why: str) -> str:
    return "".join(f"# {line}\n" for line in why.splitlines()) + "#\n" + text


def _parsed(text: str) -> Obj | None:
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    try:
        found = load(body) if body.strip() else None
    except YAMLError as error:
        raise CliError(f"The edited file failed validation: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise CliError("The edited file failed validation: it is not an object")
    return found


def _in_editor(text: str) -> str:
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w", prefix="kubectl-edit-", suffix=".yaml", delete=False) as file:
        file.write(text)
    path = Path(file.name)
    try:
        subprocess.run([*shlex.split(editor), str(path)], check=True)
        return path.read_text()
    except (OSError, subprocess.CalledProcessError) as error:
        raise CliError(f"there was a problem with the editor {editor!r}: {error}") from error
    finally:
        path.unlink(missing_ok=True)
