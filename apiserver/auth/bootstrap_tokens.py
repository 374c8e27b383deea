"""Bootstrap tokens: `id.secret`, good as long as its Secret in kube-system says so.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ ; the Secret is read from the cache at each
request, so a token ends with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime

from api import bootstrap_tokens
from api.builtin import SECRETS
from apiserver.auth.user import User, authenticated
from apiserver.storage.store import Store


class BootstrapTokens:
    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now

    def find(self, token: str) -> User | None:
        given = bootstrap_tokens.SHAPE.fullmatch(token)
        if given is None:
            return None
        secret = self._store.peek(SECRETS, bootstrap_tokens.NAMESPACE, bootstrap_tokens.PREFIX + given[1])
        held = bootstrap_tokens.read(secret.obj()) if secret is not None else None
        if held is None or not hmac.compare_digest(held.secret, given[2]) or held.groups is None:
            return None
        if not held.serves(bootstrap_tokens.AUTHENTICATION, self._now()):
            return None
        return authenticated(User(bootstrap_tokens.USER + held.id, held.groups))
