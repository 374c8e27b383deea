"""Certificate requests: what each signer of the cluster signs, what is approved of itself, and when a request has served.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers ; texts of
k8s.io/kubernetes/pkg/apis/certificates/helpers.go
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api import meta
from api.builtin import CERTIFICATE_SIGNING_REQUESTS
from api.meta import Obj
from client.clock import FakeClock
from controller import certificates_plan as plan
from controller.certificates import CertificatesCleanerLoop
from deploy.certificates import new_authority

from .fake_api import FakeApi, Running

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT, SERVER = ("digital signature", "client auth"), ("digital signature", "key encipherment", "server auth")
NODE = ("system:node:n1", "system:nodes")
NAMES: dict[str, x509.GeneralName] = {
    "DNS": x509.DNSName("n1"), "IP": x509.IPAddress(ip_address("10.0.0.1")), "Email": x509.RFC822Name("a@b.c"),
    "URI": x509.UniformResourceIdentifier("spiffe://x"),
}  # fmt: skip
UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x04root")
ALL_NAMES = {**NAMES, "Other": UPN}


def csr(signer: str, who: tuple[str, ...], usages: tuple[str, ...], names: tuple[str, ...] = (), **spec: Any) -> Obj:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in who[1:]]
    name = x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, who[0])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([ALL_NAMES[kind] for kind in names]), critical=False
        )
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {"signerName": signer, "request": b64encode(pem).decode(), "usages": list(usages), **spec}
    return {"metadata": {"name": "c", "creationTimestamp": meta.rfc3339(NOW)}, "spec": spec}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (csr(plan.KUBELET_CLIENT, NODE, CLIENT), ""),
        (csr(plan.KUBELET_CLIENT, NODE, (*CLIENT, "key encipherment")), ""),
        (csr(plan.KUBELET_CLIENT, ("system:node:n1",), CLIENT), "subject organization is not system:nodes"),
        (csr(plan.KUBELET_CLIENT, (*NODE, "system:masters"), CLIENT), "subject organization is not system:nodes"),
        (csr(plan.KUBELET_CLIENT, ("n1", "system:nodes"), CLIENT),
         "subject common name does not begin with system:node:"),
        *((csr(plan.KUBELET_CLIENT, NODE, CLIENT, (kind,)), f"{kind} subjectAltNames are not allowed") for kind in NAMES),
        (csr(plan.KUBELET_CLIENT, NODE, SERVER),
         "usages did not match [client auth digital signature key encipherment]"),
        (csr(plan.KUBELET_SERVING, NODE, SERVER, ("DNS", "IP")), ""),
        (csr(plan.KUBELET_SERVING, NODE, SERVER, ("IP",)), ""),
        (csr(plan.KUBELET_SERVING, NODE, SERVER), "DNS or IP subjectAltName is required"),
        (csr(plan.KUBELET_SERVING, NODE, SERVER, ("DNS", "Email")), "Email subjectAltNames are not allowed"),
        (csr(plan.KUBELET_SERVING, NODE, SERVER, ("DNS", "URI")), "URI subjectAltNames are not allowed"),
        (csr(plan.KUBELET_SERVING, NODE, (*SERVER, "client auth"), ("DNS",)),
         "usages did not match [digital signature key encipherment server auth]"),
        (csr(plan.KUBELET_SERVING, ("n1", "devs"), SERVER, ("DNS",)), "subject organization is not system:nodes"),
        (csr(plan.API_CLIENT, ("jane", "devs"), ("client auth",)), ""),
        (csr(plan.API_CLIENT, ("jane",), SERVER), "invalid usage for client certificate: server auth"),
        (csr(plan.API_CLIENT, ("jane",), ("digital signature",)),
         "missing required usage for client certificate: client auth"),
        (csr(plan.UNKNOWN, ("any",), ("server auth", "code signing"), ("Email",)), ""),
    ],
)  # fmt: skip
def test_what_is_signed(request_: Obj, why: str) -> None:
    assert plan.objection(request_) == why


def test_what_is_approved_of_itself() -> None:
    """kubelet-tls-bootstrapping/#approval"""
    found = plan.approval(csr(plan.KUBELET_CLIENT, NODE, CLIENT, username="system:bootstrap:abcdef"))
    assert found == ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")
    found = plan.approval(csr(plan.KUBELET_CLIENT, NODE, CLIENT, username=NODE[0]))
    assert found == ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
    assert plan.approval(csr(plan.KUBELET_CLIENT, NODE, SERVER)) is None
    assert plan.approval(csr(plan.KUBELET_SERVING, NODE, SERVER, ("DNS",))) is None
    assert plan.approval(csr(plan.API_CLIENT, ("jane",), ("client auth",))) is None


def signed(asked: Obj, longest: timedelta = timedelta(days=365)) -> x509.Certificate:
    pair = new_authority("ca", NOW - timedelta(days=3640))
    return x509.load_pem_x509_certificate(plan.sign(asked, plan.authority(pair.certificate, pair.key), longest, NOW))


def test_a_certificate_is_what_was_asked_for() -> None:
    made = signed(csr(plan.KUBELET_SERVING, NODE, SERVER, ("DNS", "IP"), expirationSeconds=3600))
    assert made.public_key() == KEY.public_key()
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [NAMES["DNS"], NAMES["IP"]]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert made.not_valid_after_utc == NOW + timedelta(hours=1)
    assert made.not_valid_before_utc == NOW - timedelta(minutes=5)


def test_names_of_kinds_that_no_signer_looks_at_are_left_out() -> None:
    """Go's x509.CreateCertificate knows DNS, Email, IP and URI alone: what is not judged is not signed."""
    for names in (("Other",), ("Other", "DNS")):
        made = signed(csr(plan.UNKNOWN, ("any",), SERVER, names))
        found = [e.value for e in made.extensions if isinstance(e.value, x509.SubjectAlternativeName)]
        assert [list(one) for one in found] == [[NAMES[name]] for name in names[1:]]


@pytest.mark.parametrize(
    ("asked", "life"),
    [(None, timedelta(days=5)), (1, timedelta(minutes=10)), (86400, timedelta(days=1)), (10**8, timedelta(days=5))],
)
def test_how_long_it_lives(asked: int | None, life: timedelta) -> None:
    """#signers: expirationSeconds is honoured between ten minutes and the signer's own limit."""
    spec = {} if asked is None else {"expirationSeconds": asked}
    assert signed(csr(plan.API_CLIENT, ("jane",), ("client auth",), **spec), timedelta(days=5)).not_valid_after_utc == (
        NOW + life
    )


def test_no_certificate_outlives_its_authority() -> None:
    made = signed(csr(plan.API_CLIENT, ("jane",), ("client auth",)))
    assert made.not_valid_after_utc == NOW + timedelta(days=10)


def _condition(kind: str, age: timedelta) -> Obj:
    return {"type": kind, "status": "True", "lastUpdateTime": meta.rfc3339(NOW - age)}


def test_when_a_request_has_served() -> None:
    """#request-signing-process: denied, failed and issued ones go after an hour, others after a day."""
    asked = csr(plan.API_CLIENT, ("jane",), ("client auth",))
    young, old = timedelta(minutes=59), timedelta(minutes=61)
    for kind in ("Approved", "Denied", "Failed"):
        for age, served in ((young, False), (old, True)):
            assert plan.has_served({**asked, "status": {"conditions": [_condition(kind, age)]}}, NOW) is served
    assert not plan.has_served(asked, NOW + timedelta(hours=23))
    assert plan.has_served(asked, NOW + timedelta(hours=25))
    short = signed({**asked, "spec": {**asked["spec"], "expirationSeconds": 600}})
    certificate = b64encode(short.public_bytes(serialization.Encoding.PEM)).decode()
    issued = {**asked, "status": {"conditions": [_condition("Approved", timedelta())], "certificate": certificate}}
    assert not plan.has_served(issued, NOW + timedelta(minutes=9))
    assert plan.has_served(issued, NOW + timedelta(minutes=11))


async def test_what_has_served_is_removed() -> None:
    clock = FakeClock()
    api = FakeApi(clock)
    for name, hours in (("old", 25), ("new", 1)):
        made = csr(plan.API_CLIENT, ("jane",), ("client auth",))
        stamp = meta.rfc3339(clock.now() - timedelta(hours=hours))
        made["metadata"] = {"name": name, "uid": name, "creationTimestamp": stamp}
        api.put(CERTIFICATE_SIGNING_REQUESTS, made)
    async with Running(api, clock, CertificatesCleanerLoop):
        await clock.run_for(1)
        assert [meta.name(one) for one in api.all(CERTIFICATE_SIGNING_REQUESTS)] == ["new"]
