"""nfs: mounted by the machine's mount program, which knows its helpers and asks the server as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from client.mountinfo import is_mounted
from kubelet.volumes.base import VolumeError
from kubelet.volumes.threads import FOREIGN

_SECONDS = 110.0


def arguments(source: Mapping[str, Any], directory: Path, options: Iterable[str], read_only: bool) -> list[str]:
    """Of mount(8). `options` are those of the persistent volume (mountOptions)."""
    server = source["server"]
    host = f"[{server}]" if ":" in server and not server.startswith("[") else server
    chosen = list(dict.fromkeys([*(["ro"] if read_only or source.get("readOnly") else []), *options]))
    return ["-t", "nfs", *(["-o", ",".join(chosen)] if chosen else []), f"{host}:{source['path']}", str(directory)]


async def set_up(source: Mapping[str, Any], directory: Path, options: Iterable[str], read_only: bool) -> None:
    """Quiet when it is mounted already. A server that does not answer is given up after a while."""
    if await FOREIGN.run(is_mounted, directory):
        return
    await FOREIGN.run(directory.mkdir, 0o750, True, True)
    argv = arguments(source, directory, options, read_only)
    pipe = asyncio.subprocess.PIPE
    try:
        program = await asyncio.create_subprocess_exec("mount", *argv, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    except FileNotFoundError as error:
        raise VolumeError(_failed("executable file not found in $PATH", argv, "")) from error
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await program.communicate()
    except TimeoutError as error:
        raise VolumeError(_failed("no answer in time", argv, "")) from error
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        raise VolumeError(_failed(f"exit status {program.returncode}", argv, output.decode(errors="replace")))


def _failed(why: str, argv: list[str], output: str) -> str:
    """As k8s.io/mount-utils words it."""
    return f"mount failed: {why}\nMounting command: mount\nMounting arguments: {' '.join(argv)}\nOutput: {output}\n"
