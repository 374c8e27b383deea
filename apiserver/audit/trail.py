"""What is noted of requests as they pass the door.

`begin` gives each its audit id, the caller's or a new one, which also goes back in the `Audit-Id` header. Once it is
known who asks, `received` decides by the policy whether there is a Trail; without one, auditing costs nothing more.
A trail is told how the request goes on: `authorized`, `started` (what goes on for long), `complete` or `panicked`.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric

from api.errors import InternalError
from apiserver.audit import policy
from apiserver.audit.backend import Backend
from apiserver.audit.logfile import LogFile
from apiserver.audit.policy import COMPLETE, LEVELS, NONE, PANIC, RECEIVED, STARTED, Decision, Policy
from apiserver.audit.record import Asked, Record
from apiserver.auth.user import User
from apiserver.metrics import counter
from apiserver.options import AuditLog
from apiserver.request import Request
from apiserver.response import Answer, Reply, Stream

DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"


class Auditor:
    """Without a policy nothing is noted."""

    def __init__(self, policy: Policy | None = None, backend: Backend | None = None) -> None:
        self._policy = policy
        self._backend = backend
        self._events = 0
        self._refused = 0
        self._levels: Counter[str] = Counter()

    def begin(self, request: Request) -> None:
        given = request.header(b"audit-id")
        request.audit_id = given or _new_id()
        request.answer_headers += ((b"audit-id", request.audit_id.encode("latin-1")),)

    def received(self, request: Request, user: User | None) -> None:
        """`user` None: nobody is known to ask. InternalError when it cannot be noted and must be."""
        if self._policy is None or self._backend is None:
            return
        decision = self._policy.decide(user, request.info)
        self._levels[LEVELS[decision.level]] += 1
        if decision.level == NONE:
            return
        at = time.time()
        request.trail = Trail(self, self._backend, decision, request, user, at)
        if user is not None and not request.trail.note(RECEIVED, at):
            self._refused += 1
            raise InternalError("Internal error occurred: failed to store audit event")

    def count(self) -> None:
        self._events += 1

    async def start(self) -> None:
        if self._backend is not None:
            await self._backend.start()

    async def stop(self) -> None:
        if self._backend is not None:
            await self._backend.stop()

    def metrics(self) -> Iterator[Metric]:
        yield counter("apiserver_audit_event", "Audit events.", (), {(): self._events})
        lost = self._backend.lost if self._backend is not None else 0
        yield counter("apiserver_audit_error", "Audit events that were lost.", ("plugin",), {("log",): lost})
        yield counter("apiserver_audit_requests_rejected", "Requests refused for that.", (), {(): self._refused})
        levels = {(level,): number for level, number in self._levels.items()}
        yield counter("apiserver_audit_level", "Requests by the level of their audit.", ("level",), levels)


def auditor(chosen: AuditLog | None) -> Auditor:
    """As the flags say. ConfigError"""
    if chosen is None:
        return Auditor()
    file = LogFile(
        chosen.log_path,
        most_bytes=chosen.log_maxsize * 1024 * 1024,
        backups=chosen.log_maxbackup,
        days=chosen.log_maxage,
        compress=chosen.log_compress,
    )
    backend = Backend(
        file,
        chosen.log_mode,
        buffer_size=chosen.log_batch_buffer_size,
        batch_size=chosen.log_batch_max_size,
        batch_seconds=chosen.log_batch_max_wait,
    )
    return Auditor(policy.load(chosen.policy_file), backend)


class Trail:
    __slots__ = ("_asked", "_auditor", "_backend", "_omitted", "_request", "_started")

    def __init__(
        self, auditor: Auditor, backend: Backend, decision: Decision, request: Request, user: User | None, at: float
    ) -> None:
        self._auditor = auditor
        self._backend = backend
        self._omitted = decision.omitted
        self._request = request
        self._started = False
        self._asked = Asked(request.audit_id, decision.level, decision.lean, request, user, at)

    def authorized(self, *, allowed: bool, why: str) -> None:
        self._request.annotations[DECISION] = "allow" if allowed else "forbid"
        self._request.annotations[REASON] = why

    def started(self, answer: Answer) -> None:
        """The head of what goes on for long is about to be sent."""
        self._started = True
        self.note(STARTED, time.time(), answer)

    def complete(self, answer: Answer, *, long_running: bool) -> None:
        if self._asked.user is None:  # upstream's only stage of a request of nobody's
            self.note(STARTED, time.time(), answer, _attempted(self._request))
        else:
            if long_running and not self._started:
                self.started(answer)
            self.note(COMPLETE, time.time(), answer)
        self._request.trail = None  # they know each other: the garbage collector need not find them

    def panicked(self, answer: Answer) -> None:
        self.note(PANIC, time.time(), answer)
        self._request.trail = None

    def note(self, stage: str, at: float, answer: Answer | None = None, message: str = "") -> bool:
        """False when it is lost although it must not be."""
        if stage in self._omitted:
            return True
        self._auditor.count()
        request, user = self._request, self._asked.user
        code = 0 if answer is None else answer.status if isinstance(answer, Reply | Stream) else 101
        reply = answer if isinstance(answer, Reply) else None
        acts_as = request.user if user is not None and code and request.user is not user else None
        record = Record(self._asked, stage, at, code, reply, message, acts_as, dict(request.annotations))
        return self._backend.put(record) or not self._backend.strict


def _attempted(request: Request) -> str:
    """How an unknown asker tried to be known, without what he showed (pkg/endpoints/filters/authn_audit.go)."""
    scheme, _, rest = request.header(b"authorization").strip().partition(" ")
    tried = [scheme.lower()] if rest and scheme.lower() in ("basic", "bearer") else []
    tried += ["access_token"] if b"access_token=" in request.scope["query_string"] else []
    if not tried:
        return "Authentication failed, no credentials provided"
    return f"Authentication failed, attempted: {', '.join(tried)}"


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4). It only has to be another one each time, so the system is not asked."""
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
