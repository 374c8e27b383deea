"""Tests that mount: each in a child process whose mounts are its own, so that nothing is left of them. It has
none of the parent's threads: pools that were used before are of no use in it."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import traceback
from collections.abc import Callable
from typing import ParamSpec

import pytest

_NEW_MOUNTS = 0x20000
_REC, _PRIVATE = 16384, 1 << 18
_SECONDS = 120
"""A test that hangs is ended: nobody else would."""
Given = ParamSpec("Given")


def own_mounts(test: Callable[Given, None]) -> Callable[Given, None]:
    """Needs root."""

    @functools.wraps(test)
    def forked(*args: Given.args, **kwargs: Given.kwargs) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(_SECONDS)
            try:
                _enter()
                test(*args, **kwargs)
            except BaseException:
                os.write(writer, traceback.format_exc().encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as said:
            text = said.read()
        _, status = os.waitpid(child, 0)
        if text or status:
            pytest.fail(text or f"the test's process ended with status {status}")

    return forked


def _enter() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) or libc.mount(None, b"/", None, _REC | _PRIVATE, None):
        raise OSError(ctypes.get_errno(), "this test needs root: it mounts")
