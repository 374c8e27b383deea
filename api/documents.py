"""YAML read as the JSON it stands for: names are text, timestamps stay text, numbers have 64 bits. Pure.

What has no meaning in JSON (bytes, sets) is refused, and so is what would not end well: nesting, which the loader
follows on C's stack until it ends, and aliases of aliases, by which a few bytes stand for gigabytes.
"""

from __future__ import annotations

from typing import Any

import orjson
import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 200
"""Levels of nesting; JSON is written to 254, and ours walk objects by recursion."""
TOO_DEEP = "exceeded max depth"
_LARGEST = 1_000_000  # nodes of a document, aliases written out


class DocumentError(ValueError):
    """Why a text is no document."""


class Loader(_Base):  # type: ignore[misc]  # the C loader, where libyaml is there, has no types
    """Of the safe loaders; timestamps stay text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def load(text: bytes) -> Any:
    """One document; names are sorted, as upstream sorts them. DocumentError when it is none."""
    try:
        _check(text)
        data = yaml.load(text, Loader)  # a subclass of the safe loader
        return orjson.loads(orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS))
    except DocumentError:
        raise
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise DocumentError(str(error)) from error


def _check(text: bytes) -> None:
    """DocumentError for what must not be loaded."""
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader):
        anchor, size = getattr(event, "anchor", None), 0
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((anchor, 1))
            if len(within) > DEEPEST:
                raise DocumentError(TOO_DEEP)
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = within.pop()
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor or "", _LARGEST + 1)  # not known before it is whole: it holds itself
            anchor = None
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
        if anchor:
            sizes[anchor] = size
        of, so_far = within[-1]
        within[-1] = of, so_far + size
        if so_far + size > _LARGEST:
            raise DocumentError("yaml: document contains excessive aliasing")
