"""`kubectl cp`: files to and from a container, through a tar that runs there."""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, BinaryIO

import typer

from api.builtin import PODS
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.session import Session, run


def command(
    arguments: opt.Arguments = None,
    container: opt.Container = "",
    no_preserve: Annotated[bool, typer.Option("--no-preserve", help="Not the owner and the mode")] = False,
) -> None:
    if len(arguments or []) != 2:
        raise CliError("source and destination are required")
    source, target = [_place(text) for text in arguments or []]
    if bool(source[0]) == bool(target[0]):
        raise CliError("one of src or dest must be a local file specification")
    run(lambda session: _copy(session, source, target, container, no_preserve))


def _place(text: str) -> tuple[str, str]:
    """(pod or namespace/pod, path); a local path has no pod."""
    pod, colon, path = text.partition(":")
    return (pod, path) if colon and not text.startswith((".", "/")) else ("", text)


async def _copy(
    session: Session, source: tuple[str, str], target: tuple[str, str], container: str, no_preserve: bool
) -> int:
    with tempfile.TemporaryFile() as spool:
        if not target[0]:
            remote = PurePosixPath(source[1])
            pack = ["tar", "cf", "-", "-C", str(remote.parent), remote.name]
            code = await _run(session, source[0], container, pack, sink=spool)
            if not code:
                _unpack(spool, remote.name, Path(target[1]))
            return code
        path = PurePosixPath(target[1])
        name = _local_name(source[1])
        if await _run(session, target[0], container, ["test", "-d", str(path)]) == 0:
            path /= name
        _pack(spool, source[1], path.name)
        flags = ["--no-same-permissions", "--no-same-owner"] if no_preserve else []
        unpack = ["tar", *flags, "-xmf", "-", "-C", str(path.parent)]
        return await _run(session, target[0], container, unpack, source=spool)


def _local_name(path: str) -> str:
    if not Path(path).exists():
        raise CliError(f"{path} doesn't exist in local filesystem")
    return Path(path).resolve().name


def _pack(spool: BinaryIO, path: str, name: str) -> None:
    with tarfile.open(fileobj=spool, mode="w") as archive:
        archive.add(path, name)
    spool.seek(0)


def _unpack(spool: BinaryIO, name: str, place: Path) -> None:
    """What came as `name` becomes `place`, or goes into it when it is a directory. Files and directories come, links
    do not, and nothing leads out of it."""
    spool.seek(0)
    if place.is_dir():
        place /= name
    with tarfile.open(fileobj=spool) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            inside = path.parts[len(PurePosixPath(name).parts) :]
            if not path.is_relative_to(name) or ".." in inside:
                _warn(f'file "{member.name}" is outside target destination, skipping')
            elif member.isdir():
                place.joinpath(*inside).mkdir(parents=True, exist_ok=True)
            elif (content := archive.extractfile(member) if member.isreg() else None) is not None:
                _write(place.joinpath(*inside), content, member.mode)
            else:
                _warn(f'skipping "{member.name}": neither a file nor a directory')


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o600 | mode & 0o755)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


async def _run(
    session: Session,
    pod: str,
    container: str,
    words: list[str],
    *,
    source: BinaryIO | None = None,
    sink: BinaryIO | None = None,
) -> int:
    from kubectl.channels import remote  # noqa: PLC0415  # WebSockets: only when there is something to copy
    from kubectl.pods import choose_container, pod_of  # noqa: PLC0415

    namespace, _, name = pod.rpartition("/")
    if namespace:
        session.namespace = namespace
    found = await pod_of(session, [name])
    params = {"command": words, "container": choose_container(found, container), "stdout": "true", "stderr": "true"}
    params |= {"stdin": "true"} if source is not None else {}
    path = PODS.path(found["metadata"]["namespace"], name, "exec")
    return await remote(session, path, params, stdin=source is not None, tty=False, source=source, sink=sink)
