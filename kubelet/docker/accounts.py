"""The users and groups of an image, read from its layers where Docker keeps them as directories (overlay2).

Docker would need a container to show them. What an image says of a path is not believed: no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from kubelet.docker.config.parts import Accounts

_LARGEST = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@lru_cache(maxsize=256)
def of_image(layers: tuple[str, ...]) -> Accounts | None:
    """`layers` are directories, the uppermost first. None when the files cannot be told."""
    if not layers:
        return None
    try:
        return Accounts(_file(layers, "passwd"), _file(layers, "group"))
    except OSError:
        return None  # a link, or an image that is just being removed: Docker will know


def _file(layers: Sequence[str], name: str) -> str:
    """/etc/`name`; "" when the image has none."""
    for layer in layers:
        try:
            etc = os.open(os.path.join(layer, "etc"), _FLAGS)
        except FileNotFoundError:
            continue
        try:
            if not stat.S_ISDIR(os.fstat(etc).st_mode):
                return ""  # made away with in this layer
            with suppress(FileNotFoundError):
                return _read(etc, name)
            if _hides_those_below(etc):
                return ""
        finally:
            os.close(etc)
    return ""


def _read(directory: int, name: str) -> str:
    descriptor = os.open(name, _FLAGS, dir_fd=directory)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""  # made away with in this layer
        return file.read(_LARGEST).decode(errors="replace")


def _hides_those_below(directory: int) -> bool:
    with suppress(OSError):
        return os.getxattr(f"/proc/self/fd/{directory}", "trusted.overlay.opaque") == b"y"
    return False
