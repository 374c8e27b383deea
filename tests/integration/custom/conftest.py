"""Groups of a test's own, and definitions that go with the test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.upstream import Kubectl

Obj = dict[str, Any]


@pytest.fixture
def group() -> str:
    """A group of the test's own."""
    return f"g{uuid.uuid4().hex[:8]}.example.com"


@pytest.fixture
def define(kubectl: Kubectl) -> Iterator[Callable[[Obj], Obj]]:
    """Create a definition and wait until it is established; it is deleted after the test."""
    made: list[str] = []

    def create(definition: Obj) -> Obj:
        name = definition["metadata"]["name"]
        kubectl.run("create", "-f", "-", stdin=definition).ok()
        made.append(name)
        kubectl.run("wait", f"crd/{name}", "--for=condition=Established", "--timeout=20s").ok()
        return definition

    yield create
    for name in made:
        kubectl.run("delete", "crd", name, "--ignore-not-found", "--timeout=20s").ok()
