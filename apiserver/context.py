"""What request handlers share: the registry, the store, and the parts that decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from api.errors import ServiceUnavailable
from api.registry import Registry, Resource
from apiserver.admission.chain import Admission
from apiserver.aggregation.remote import Aggregation
from apiserver.allocation import Allocator
from apiserver.audit.trail import Auditor
from apiserver.auth.accounts import Accounts
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.chain import Authenticator
from apiserver.custom.definitions import Definitions
from apiserver.flow.gate import Gate
from apiserver.kubelet import KubeletClient
from apiserver.metrics import Metrics
from apiserver.options import Options
from apiserver.storage.store import Store
from apiserver.streaming.proxy import Proxy


@dataclass(slots=True)
class Context:
    options: Options
    registry: Registry
    store: Store
    now: Callable[[], datetime]
    authenticator: Authenticator
    authorizer: Authorizer
    gate: Gate
    audit: Auditor
    admission: Admission
    allocator: Allocator
    accounts: Accounts
    kubelet: KubeletClient
    metrics: Metrics
    proxy: Proxy
    aggregation: Aggregation
    definitions: Definitions
    bootstrapped: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def row(self, group: str, version: str, plural: str) -> Resource:
        """A row that is known to be there."""
        row = self.registry.by_plural(group, version, plural)
        if row is None:
            raise LookupError(f"no resource {plural} in {group}/{version}")
        return row

    def check_ready(self) -> None:
        """ServiceUnavailable while this server should get no traffic."""
        if self.stopping.is_set():
            raise ServiceUnavailable("the server is shutting down")
        self.store.check()
        if not self.bootstrapped.is_set():
            raise ServiceUnavailable("the first objects of the cluster are not there yet")
