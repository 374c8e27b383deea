"""The table of messages (messages.txt): which number is which field.

Read on first use. A message is known by its upstream definition name, `io.k8s.api.core.v1.Pod`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from api import schemas


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a message. `pointer`: sent only when set, so that zero is meant. `inlined`: the name is that
    of a message, whose fields stand among its parent's in JSON."""

    name: str
    pointer: bool = False
    inlined: bool = False


@lru_cache(maxsize=1)
def messages() -> Mapping[str, Mapping[int, Entry]]:
    """Field numbers by definition name. Inlined messages are here too, though they have no definition."""
    found: dict[str, dict[int, Entry]] = {}
    package, message, number = "", "", 0
    for line in (files("api.protobuf") / "messages.txt").read_text("utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words and not line.startswith(" "):
            package = words.pop()
        elif words and words[0].endswith(":"):
            message, number = f"{package}.{words.pop(0)[:-1]}", 0
            found[message] = {}
        for word in words:
            explicit, _, text = word.rpartition("=")
            number = int(explicit or number + 1)
            name = text.lstrip("*.")
            found[message][number] = Entry(name, text.startswith("*"), text.startswith("..."))
    return found


@lru_cache(maxsize=1)
def kinds() -> Mapping[tuple[str, str], str]:
    """Definition names by (apiVersion, kind)."""
    names: dict[tuple[str, str], str] = {}
    for name in messages():
        for row in schemas.definitions().get(name, {}).get("x-kubernetes-group-version-kind", ()):
            api_version = f"{row['group']}/{row['version']}" if row["group"] else row["version"]
            names[api_version, row["kind"]] = name
    return names


def message_of(api_version: str, kind: str) -> str | None:
    """The definition name of a kind that we can read; DeleteOptions belong to every group."""
    return kinds().get((api_version, kind))
