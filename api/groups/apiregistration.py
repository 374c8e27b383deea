"""The row of apiregistration.k8s.io/v1."""

from __future__ import annotations

from api.kinds import apiregistration
from api.registry import Resource

API_SERVICES = Resource(
    "apiregistration.k8s.io",
    "v1",
    "APIService",
    "apiservices",
    "apiservice",
    False,
    categories=("api-extensions",),
    subresources=("status",),
    hooks=apiregistration.HOOKS,
)

ROWS = (API_SERVICES,)
