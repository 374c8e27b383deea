"""The config map cluster-info in kube-public, which those who join read before they know whom to trust: signed with
every bootstrap token that says usage-bootstrap-signing. And the end of bootstrap tokens: expired ones are removed.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#configmap-signing ,
#token-management-with-kubeadm there; the signature is a JWS with detached payload, HS256 (RFC 7515 appendix F).
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode

from api import bootstrap_tokens, meta
from api.builtin import CONFIG_MAPS, SECRETS
from api.errors import Conflict, NotFound
from api.meta import Obj
from client import log
from client.informer import Informer
from client.reconciler import Reconciler
from controller.context import Context

_log = log.get("bootstrap-tokens")
INFO_NAMESPACE, INFO, KUBECONFIG = "kube-public", "cluster-info", "kubeconfig"
SIGNATURE = "jws-kubeconfig-"


def _tokens(context: Context) -> Informer:
    fields = f"type={bootstrap_tokens.TYPE}"
    return context.informers.of(SECRETS, namespace=bootstrap_tokens.NAMESPACE, fields=fields)


class BootstrapSignerLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._secrets = _tokens(context)
        self._info = context.informers.of(CONFIG_MAPS, namespace=INFO_NAMESPACE, fields=f"metadata.name={INFO}")
        self._work = Reconciler("bootstrap-signer", self._sign, clock=context.clock)
        for informer in (self._secrets, self._info):
            informer.on_event(lambda *_: self._work.queue.add(f"{INFO_NAMESPACE}/{INFO}"))

    async def run(self) -> None:
        await self._work.run()

    async def _sign(self, key: str) -> float | None:
        info = self._info.store.get(key)
        if info is None:
            return None
        data = info.get("data") or {}
        wanted = {name: value for name, value in data.items() if not name.startswith(SIGNATURE)}
        if content := data.get(KUBECONFIG):
            now = self._clock.now()
            for token in map(bootstrap_tokens.read, self._secrets.store.list()):
                if token is not None and token.serves(bootstrap_tokens.SIGNING, now):
                    wanted[SIGNATURE + token.id] = signature(content, token.id, token.secret)
        if wanted != data:
            await self._client.update(CONFIG_MAPS, {**info, "data": wanted})
        return None


def signature(content: str, token_id: str, token_secret: str) -> str:
    """`header..signature`: whoever has the token can make it, too, and compare."""
    header = _base64(b'{"alg":"HS256","kid":"%s"}' % token_id.encode())
    signed = f"{header}.{_base64(content.encode())}".encode()
    return f"{header}..{_base64(hmac.digest(token_secret.encode(), signed, 'sha256'))}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenCleanerLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._secrets = _tokens(context)
        self._work = Reconciler("token-cleaner", self._clean, clock=context.clock)
        self._secrets.on_event(self._on_secret)

    async def run(self) -> None:
        await self._work.run()

    def _on_secret(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._work.queue.add(meta.key(new))

    async def _clean(self, key: str) -> float | None:
        """Removes it, or says when to look again."""
        secret = self._secrets.store.get(key)
        token = bootstrap_tokens.read(secret) if secret is not None else None
        if secret is None or token is None or token.expires is None:
            return None
        left = (token.expires - self._clock.now()).total_seconds()
        if left > 0:
            return left
        _log.info("removing an expired bootstrap token", secret=key)
        try:
            await self._client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except (NotFound, Conflict):
            return None
        return None
