"""The row of apiextensions.k8s.io/v1."""

from __future__ import annotations

from api.kinds import definition
from api.registry import Resource

CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    subresources=("status",),
    has_generation=True,
    needs_version=True,
    hooks=definition.HOOKS,
)

ROWS = (CUSTOM_RESOURCE_DEFINITIONS,)
