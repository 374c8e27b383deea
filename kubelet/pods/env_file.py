"""Env files: what a container leaves in an emptyDir for the variables of those that start after it (KEP-3721). Pure.

    NAME='any text, over several lines too'   # a comment

Source: pkg/kubelet/util/env and
https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/
"""

from __future__ import annotations

import re

_ENTRY = re.compile(r"""
    [ \t]* (?:
        (?: \#[^\n]* )?                                            # nothing, or a comment
        | (?P<name> [^=\s] (?: [^=\n]* [^=\s] )? ) = (?:
            [ \t][^\n]*                                            # as in a shell: the name is set to nothing
            | '(?P<value>[^']*)' [ \t]* (?: \#[^\n]* )?
        )
    ) \r? (?: \n | \Z )
""", re.VERBOSE)  # fmt: skip


def value(text: str, key: str) -> str | None:
    """None when there is no such key. ValueError when what stands before it cannot be read: such a file may have been
    cut off."""
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not NAME='value'")
        if entry["name"] == key:
            return entry["value"] or ""
        at = entry.end()
    return None
