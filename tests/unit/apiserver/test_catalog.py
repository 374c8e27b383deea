"""Discovery keeps its answers, but never past a change of who answers for what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from api.meta import Obj
from apiserver.discovery import Remote
from apiserver.routes.discovery import Catalog


def test_a_server_behind_ours_shows_at_once_and_leaves_at_once() -> None:
    remotes: list[Remote] = []
    catalog = Catalog(lambda: remotes)
    context: Any = SimpleNamespace(registry=SimpleNamespace(generation=1))
    made = 0

    def ask() -> bytes:
        def make() -> Obj:
            nonlocal made
            made += 1
            return {"remote": [remote.group for remote in remotes]}

        return catalog.answer(context, "/apis", make)[0]

    assert ask() == ask() == b'{"remote":[]}'
    assert made == 1
    remotes.append(Remote("ext.example.com", "v1", 100, 10))
    assert ask() == b'{"remote":["ext.example.com"]}'
    remotes.clear()
    assert ask() == b'{"remote":[]}'
    context.registry.generation = 2
    ask()
    assert made == 3
