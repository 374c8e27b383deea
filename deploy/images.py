"""The example's image, made on the spot from the machine's own busybox: no registry has to be reachable.

`sampan/hello:1` and `sampan/hello:2` hold busybox with all its commands, the libraries it loads, and /hello: a web
server on port 8080 that answers with the pod's name and its own version. Two versions, to roll from one to the other.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.host import find_tool

HELLO = "sampan/hello:1"
HELLO_NEXT = "sampan/hello:2"

_SCRIPT = """#!/bin/sh
# Answers every request with the name of the pod. Ends at once when told to: as process 1 it must say so itself.
trap 'kill $server; exit 0' TERM INT
mkdir -p /www
echo "Hello from $(hostname), version {version}" > /www/index.html
echo "serving on port 8080 as $(hostname), version {version}"
httpd -f -p 8080 -h /www &
server=$!
wait $server
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def load(engine: Engine) -> list[str]:
    """Puts the images into an Engine that has them not. Returns those it put."""
    missing = [name for name in (HELLO, HELLO_NEXT) if not engine.has_image(name)]
    for name in missing:
        engine.import_image(name, archive(name.rpartition(":")[2]), ["ENV PATH=/bin", 'CMD ["/hello"]'])
    return missing


def archive(version: str) -> bytes:
    """The image's file system as a tar. The same busybox gives the same bytes."""
    busybox = find_tool("busybox")
    if busybox is None:
        raise Failure("busybox is not installed: the example's image is made from it", "apt-get install busybox")
    commands = _output(busybox, "--list").split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "etc", "root", "www"):
            _add(tar, directory, kind=tarfile.DIRTYPE, mode=0o755)
        _add(tar, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        for command in sorted({*commands, "sh"} - {"busybox"}):
            _add(tar, f"bin/{command}", kind=tarfile.SYMTYPE, link="/bin/busybox")
        for library in libraries(busybox):
            _add(tar, str(library).lstrip("/"), library.read_bytes(), mode=0o755)
        for name, text in _FILES.items():
            _add(tar, name, text.encode())
        _add(tar, "hello", _SCRIPT.replace("{version}", version).encode(), mode=0o755)
    return buffer.getvalue()


def libraries(program: str) -> list[Path]:
    """The shared libraries and the loader of a program, as ldd finds them; none for a static one."""
    ldd = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", ldd.stdout, re.MULTILINE)]


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _add(
    tar: tarfile.TarFile, name: str, data: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:  # fmt: skip
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.type, entry.linkname = len(data), mode, kind, link
    tar.addfile(entry, io.BytesIO(data))
