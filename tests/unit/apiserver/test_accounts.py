"""Tokens of accounts, bootstrap tokens and who a certificate names, without a server.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ ,
https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ ,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api import meta, signing
from api.builtin import BUILTIN, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from api.errors import ServiceUnavailable, not_found
from api.meta import Obj
from api.registry import Resource
from apiserver.auth import tokenfile
from apiserver.auth.accounts import Accounts, Named
from apiserver.auth.bootstrap_tokens import BootstrapTokens
from apiserver.auth.chain import Authenticator
from apiserver.auth.oidc import Settings, user_of
from apiserver.auth.x509 import REFUSED, Peer
from apiserver.auth.x509 import user_of as named
from apiserver.storage.decode import decode
from apiserver.storage.stored import Stored

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ISSUER = "https://kubernetes.default.svc.cluster.local"


class FakeStore:
    """A cache, and behind it what the cache has yet to hear of."""

    def __init__(self) -> None:
        self.cache: dict[tuple[str, str, str], Stored] = {}
        self.behind: dict[tuple[str, str, str], Stored] = {}
        self.away = False
        self.reads = 0
        self._revision = 0

    def put(self, res: Resource, namespace: str, name: str, uid: str = "", *, late: bool = False, **fields: Any) -> Obj:
        self._revision += 1
        metadata = {"name": name, "uid": uid or f"uid-{name}", **fields.pop("metadata", {})}
        local = f"{namespace}/{name}" if namespace else name
        obj = {"apiVersion": "v1", "kind": res.kind, "metadata": {**metadata, "namespace": namespace}, **fields}
        stored = decode(BUILTIN, local, orjson.dumps(obj), self._revision)
        (self.behind if late else self.cache)[res.plural, namespace, name] = stored
        return obj

    def drop(self, res: Resource, namespace: str, name: str) -> None:
        del self.cache[res.plural, namespace, name]

    def peek(self, res: Resource, namespace: str, name: str) -> Stored | None:
        return self.cache.get((res.plural, namespace, name))

    async def get(self, res: Resource, namespace: str, name: str) -> Stored:
        self.reads += 1
        if self.away:
            raise ServiceUnavailable("etcd is not available")
        found = (self.cache | self.behind).get((res.plural, namespace, name))
        if found is None:
            raise not_found(res.group, res.plural, name)
        return found


class World:
    def __init__(self, directory: Path, **options: Any) -> None:
        self.store: Any = FakeStore()
        self.now = NOW
        self.key = ec.generate_private_key(ec.SECP256R1())
        file = directory / "sa.key"
        file.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        options = {"issuers": [ISSUER], **options}
        self.accounts = Accounts(self.store, key_files=[], signing_key_file=str(file), now=lambda: self.now, **options)
        self.bot = self.store.put(SERVICE_ACCOUNTS, "team", "bot")

    def token(self, seconds: int = 600, audiences: tuple[str, ...] = (ISSUER,), **bound: Named) -> str:
        return self.accounts.issue(self.bot, audiences, seconds, bound)[0]

    async def lets_in(self, token: str, *audiences: str) -> bool:
        return await self.accounts.authenticate(token, audiences) is not None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_token_has_its_time(world: World) -> None:
    """With upstream's minute for clocks that differ."""
    token = world.token(600)
    for seconds, good in ((-61, False), (-59, True), (0, True), (599, True), (659, True), (661, False), (10**6, False)):
        world.now = NOW + timedelta(seconds=seconds)
        assert await world.lets_in(token) is good, seconds


async def test_the_audit_log_knows_of_tokens_that_should_be_renewed(world: World) -> None:
    """audit-annotations/#authentication-k8s-io-stale-token"""
    token, _ = world.accounts.issue(world.bot, [ISSUER], 10**6, {}, warn_after=3607)
    for seconds, notes in ((3607, {}), (3610, {"authentication.k8s.io/stale-token": (
        "subject: system:serviceaccount:team:bot, seconds after warning threshold: 3")})):  # fmt: skip
        world.now = NOW + timedelta(seconds=seconds)
        found = await world.accounts.authenticate(token)
        assert found is not None and found.notes == notes


async def test_a_token_is_for_its_audiences(world: World) -> None:
    token = world.token(audiences=("vault", "shop"))
    assert not await world.lets_in(token)
    found = await world.accounts.authenticate(token, ("bank", "shop"))
    assert found is not None and found[1] == ["shop"]
    assert not await world.lets_in(token, "bank")
    assert not await world.lets_in(world.token(), "vault")


KINDS = [("pod", PODS, "team"), ("secret", SECRETS, "team"), ("node", NODES, "")]


@pytest.mark.parametrize(("kind", "res", "namespace"), KINDS)
async def test_a_token_ends_with_what_it_is_bound_to(world: World, kind: str, res: Resource, namespace: str) -> None:
    world.store.put(res, namespace, "it")
    token = world.token(**{kind: Named("it", "uid-it")})
    assert await world.lets_in(token)
    reads = world.store.reads
    for _ in range(5):
        assert await world.lets_in(token)
    assert world.store.reads == reads == 0, "from memory"
    world.store.put(res, namespace, "it", metadata={"labels": {"changed": "yes"}})
    assert await world.lets_in(token)
    world.store.put(res, namespace, "it", "another")
    assert not await world.lets_in(token)
    world.store.drop(res, namespace, "it")
    assert not await world.lets_in(token)
    world.store.away = True
    assert not await world.lets_in(token), "what cannot be known is refused"


async def test_one_that_is_being_deleted_has_a_minute(world: World) -> None:
    """k8s.io/kubernetes/pkg/serviceaccount/claims.go: deleted before now less the leeway."""
    token = world.token(3600, pod=Named("it", "uid-it"))
    for since, good in ((-30, True), (59, True), (61, False)):
        stamp = meta.rfc3339(NOW - timedelta(seconds=since))
        world.store.put(PODS, "team", "it", metadata={"deletionTimestamp": stamp})
        assert await world.lets_in(token) is good, since


async def test_what_the_cache_has_yet_to_hear_of(world: World) -> None:
    """Another server has made the pod and its token just now."""
    world.store.put(PODS, "team", "new", late=True)
    assert await world.lets_in(world.token(pod=Named("new", "uid-new")))
    assert world.store.reads == 1


async def test_the_node_of_a_pod_is_told_and_not_asked(world: World) -> None:
    world.store.put(PODS, "team", "it")
    found = await world.accounts.authenticate(world.token(pod=Named("it", "uid-it"), node=Named("n1", "")))
    assert found is not None
    told = {name.rpartition("/")[2]: values for name, values in found[0].extra.items()}
    assert set(told) == {"credential-id", "pod-name", "pod-uid", "node-name"}
    assert told["node-name"] == ["n1"]


async def test_a_token_of_an_account_that_is_gone(world: World) -> None:
    token = world.token()
    assert await world.lets_in(token)
    world.store.put(SERVICE_ACCOUNTS, "team", "bot", "another")
    assert not await world.lets_in(token)
    world.store.drop(SERVICE_ACCOUNTS, "team", "bot")
    assert not await world.lets_in(token)


async def test_tokens_in_secrets(world: World) -> None:
    """Good as long as the Secret holds them, and for the server alone."""
    token = signing.signed(signing.legacy_claims(world.bot, "bot-token"), world.key)
    assert not await world.lets_in(token), "there is no Secret yet"

    def put(held: str, **metadata: Any) -> None:
        data = {"token": b64encode(held.encode()).decode()}
        world.store.put(SECRETS, "team", "bot-token", metadata=metadata, data=data)

    put(token)
    found = await world.accounts.authenticate(token)
    assert found is not None
    assert (found[0].name, found[0].uid, found[0].extra) == ("system:serviceaccount:team:bot", "uid-bot", {})
    assert found.notes == {"authentication.k8s.io/legacy-token": "system:serviceaccount:team:bot"}
    assert not await world.lets_in(token, "vault")
    world.now = NOW + timedelta(days=4000)
    assert await world.lets_in(token)
    for held, metadata in (
        ("another", {}),
        ("", {}),
        (token, {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}),
        (token, {"deletionTimestamp": meta.rfc3339(world.now)}),
    ):
        put(held, **metadata)
        assert not await world.lets_in(token), metadata
    other = signing.legacy_claims({"metadata": {**world.bot["metadata"], "name": "admin"}}, "bot-token")
    put(forged := signing.signed({**other, "sub": "system:serviceaccount:team:bot"}, world.key))
    assert not await world.lets_in(forged), "it names two accounts"


async def test_a_decision_is_quick(world: World) -> None:
    """20 µs at most; generous, for a machine that has other things to do."""
    world.store.put(PODS, "team", "it")
    token = world.token(pod=Named("it", "uid-it"))
    await world.lets_in(token)
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            await world.accounts.authenticate(token)
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 60e-6, f"{best * 1e6:.1f} µs"


# ---- bootstrap tokens


def bootstrap(store: FakeStore, type_: str = "bootstrap.kubernetes.io/token", **data: str) -> None:
    usual = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
    encoded = {k: b64encode(v.encode()).decode() for k, v in (usual | data).items()}
    store.put(SECRETS, "kube-system", "bootstrap-token-abcdef", type=type_, data=encoded)


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ({}, True),
        ({"expiration": "2026-05-01T12:00:01Z"}, True),
        ({"expiration": "2026-05-01T14:00:01+02:00"}, True),
        ({"expiration": "2026-05-01T12:00:00Z"}, False),
        ({"expiration": "2027-05-01"}, False),
        ({"expiration": "soon"}, False),
        ({"usage-bootstrap-authentication": "True"}, False),
        ({"usage-bootstrap-authentication": ""}, False),
        ({"auth-extra-groups": "system:bootstrappers:a"}, True),
        ({"auth-extra-groups": "system:masters"}, False),
        ({"auth-extra-groups": "system:bootstrappers:a,x"}, False),
        ({"auth-extra-groups": "system:bootstrappers:a\n"}, False),
        ({"token-id": "ghijkl"}, False),
        ({"token-secret": "0123456789abcdee"}, False),
        ({"type_": "Opaque"}, False),
    ],
)
def test_bootstrap_tokens(data: dict[str, str], good: bool) -> None:
    """#bootstrap-token-secret-format; an expiration that cannot be read is none that lies ahead."""
    store: Any = FakeStore()
    bootstrap(store, **data)
    found = BootstrapTokens(store, lambda: NOW).find("abcdef.0123456789abcdef")
    assert (found is not None) is good
    if found is not None:
        assert found.name == "system:bootstrap:abcdef"
        extra = (data["auth-extra-groups"],) if "auth-extra-groups" in data else ()
        assert found.groups == ("system:bootstrappers", *extra, "system:authenticated")


async def test_only_tokens_of_accounts_know_of_audiences(world: World) -> None:
    """k8s.io/apiserver/pkg/authentication/authenticator/audagnostic.go"""
    chain = Authenticator(tokenfile.parse("secret,jane,u-1"), None, world.accounts)
    assert await chain.owner("secret", ("vault",)) is None
    found = await chain.owner("secret", ("vault", ISSUER))
    assert found is not None and found[1] == [ISSUER]
    assert await chain.owner(world.token(audiences=("vault",)), ("vault",)) is not None


# ---- claims of a provider


@pytest.mark.parametrize(
    ("settings", "claims", "name"),
    [
        ({}, {"sub": "jane"}, "https://p#jane"),
        ({"username_prefix": "-"}, {"sub": "jane"}, "jane"),
        ({"username_prefix": "p:"}, {"sub": "jane"}, "p:jane"),
        ({"username_claim": "email"}, {"email": "j@x", "email_verified": True}, "j@x"),
        ({"username_claim": "email"}, {"email": "j@x"}, "j@x"),
        ({"username_claim": "email"}, {"email": "j@x", "email_verified": False}, None),
        ({"username_claim": "email"}, {"email": "j@x", "email_verified": "true"}, None),
        ({"username_claim": "name"}, {"sub": "jane"}, None),
        ({}, {"sub": 7}, None),
        ({"required": (("hd", "x"),)}, {"sub": "jane", "hd": "x"}, "https://p#jane"),
        ({"required": (("hd", "x"),)}, {"sub": "jane", "hd": ["x"]}, None),
    ],
)
def test_claims(settings: dict[str, Any], claims: dict[str, Any], name: str | None) -> None:
    """authentication/#configuring-the-api-server: what each --oidc-* flag asks of a claim."""
    found = user_of(claims, Settings("https://p", "sampan", **settings))
    assert (found.name if found is not None else None) == name


@pytest.mark.parametrize(
    "wrong",
    [{"issuer": "http://p"}, {"client_id": ""}, {"username_claim": ""}, {"algorithms": ("none",)},
     {"algorithms": ("HS256",)}],
)  # fmt: skip
def test_settings_that_would_let_in_anybody(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="oidc"):
        Settings(**{"issuer": "https://p", "client_id": "sampan", **wrong}).check()


# ---- certificates


def test_a_certificate_may_say_a_uid() -> None:
    """authentication/#x509-client-certificates: the object identifier 1.3.6.1.4.1.57683.2, once and not empty."""
    uid = (("1.3.6.1.4.1.57683.2", "u-1"),)
    name = (("commonName", "jane"),)
    found = named({"subject": (name, uid)}, "ff")
    assert found is not None
    assert (found.uid, found.extra) == ("u-1", {"authentication.kubernetes.io/credential-id": ["X509SHA256=ff"]})
    assert named({"subject": (name, uid, uid)}) is REFUSED
    assert named({"subject": (name, (("1.3.6.1.4.1.57683.2", ""),))}) is REFUSED
    assert named({"subject": (uid,)}) is None


def test_a_connection_outlives_its_certificate() -> None:
    peer = Peer(None, 100.0)
    assert (peer.at(99.9), peer.at(100.0)) == (None, REFUSED)
