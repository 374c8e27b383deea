"""Tokens in Secrets: who makes a Secret of type kubernetes.io/service-account-token that names an account gets a token
of that account in it, good until the Secret or the account is gone; then the Secret goes, too.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from functools import cached_property
from typing import TYPE_CHECKING

from api import meta
from api.builtin import SECRETS, SERVICE_ACCOUNTS
from api.errors import Conflict, NotFound
from api.later import Later
from api.meta import Obj
from client import log
from client.reconciler import Reconciler
from controller.context import Context

if TYPE_CHECKING:
    from api import signing
else:
    signing = Later("api.signing")

ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
"""The type of such Secrets."""
ACCOUNT_NAME, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
"""Annotations that tie a Secret to its account."""
_log = log.get("account-tokens")


class AccountTokensLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._options = context.client, context.options
        self._accounts = context.informer(SERVICE_ACCOUNTS)
        self._secrets = context.informers.of(SECRETS, fields=f"type={ACCOUNT_TOKEN}")
        self._secrets.add_indexer("account", lambda secret: [_account_of(secret)])
        self._work = Reconciler("account-tokens", self._reconcile, clock=context.clock, workers=2)
        self._secrets.on_event(self._on_secret)
        self._accounts.on_event(self._on_account)

    @cached_property
    def _key(self) -> signing.PrivateKey:
        return signing.private_key(self._options.account_key)

    async def run(self) -> None:
        await self._work.run()

    def _on_secret(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._work.queue.add(meta.key(new))

    def _on_account(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if kind != "update":
            for secret in self._secrets.store.by_index("account", meta.key(new or old or {})):
                self._work.queue.add(meta.key(secret))

    async def _reconcile(self, key: str) -> float | None:
        secret = self._secrets.store.get(key)
        if secret is None or meta.is_deleting(secret):
            return None
        account = await self._account(secret)
        if account is None:
            await self._remove(secret)
        elif (changed := self._filled(secret, account)) is not None:
            await self._client.update(SECRETS, changed)
        return None

    async def _account(self, secret: Obj) -> Obj | None:
        """By the server's own word before anything is removed: our cache may be behind."""
        found = self._accounts.store.get(_account_of(secret))
        if found is not None and _ties(secret, found):
            return found
        namespace, name = meta.split_key(_account_of(secret))
        try:
            live = await self._client.get(SERVICE_ACCOUNTS, name, namespace)
        except NotFound:
            return None
        return live if _ties(secret, live) else None

    async def _remove(self, secret: Obj) -> None:
        _log.info("removing the token of an account that is gone", secret=meta.key(secret))
        try:
            await self._client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except (NotFound, Conflict):
            return

    def _filled(self, secret: Obj, account: Obj) -> Obj | None:
        """The Secret with what it lacks; None when it lacks nothing."""
        data = dict(secret.get("data") or {})
        wanted = {"namespace": meta.namespace(secret)}
        if self._options.root_ca:
            wanted["ca.crt"] = self._options.root_ca
        if self._options.account_key and not data.get("token"):
            wanted["token"] = signing.signed(signing.legacy_claims(account, meta.name(secret)), self._key)
        missing = {name: _encoded(value) for name, value in wanted.items() if _lacks(data, name, value)}
        annotations = meta.annotations(secret)
        if not missing and annotations.get(ACCOUNT_UID) == meta.uid(account):
            return None
        metadata = {**secret["metadata"], "annotations": {**annotations, ACCOUNT_UID: meta.uid(account)}}
        return {**secret, "metadata": metadata, "data": {**data, **missing}}


def _account_of(secret: Obj) -> str:
    return f"{meta.namespace(secret)}/{meta.annotations(secret).get(ACCOUNT_NAME, '')}"


def _ties(secret: Obj, account: Obj) -> bool:
    return meta.annotations(secret).get(ACCOUNT_UID) in (None, "", meta.uid(account))


def _lacks(data: dict[str, str], name: str, value: str) -> bool:
    """A namespace that somebody else wrote is left alone, as upstream does; another CA is not."""
    held = data.get(name)
    return not held or (name == "ca.crt" and b64decode(held).decode("utf-8", "replace") != value)


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()
