"""The rows of coordination.k8s.io/v1."""

from __future__ import annotations

from api.kinds import simple
from api.registry import Resource

LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", "lease", True, hooks=simple.LEASE)

ROWS = (LEASES,)
