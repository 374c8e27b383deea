"""Which CertificateSigningRequests are approved of themselves, what each signer of the cluster signs, and when a
request has served (pure).

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers ; texts and
limits as in k8s.io/kubernetes/pkg/apis/certificates/helpers.go and pkg/controller/certificates
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from api import meta
from api.meta import Obj

API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
UNKNOWN = "kubernetes.io/legacy-unknown"

_SHORTEST = timedelta(minutes=10)
_BACKDATE = timedelta(minutes=5)
_HOUR, _DAY = timedelta(hours=1), timedelta(hours=24)


class Authority(NamedTuple):
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def authority(certificate: bytes, key: bytes) -> Authority:
    """From PEM. ValueError."""
    loaded = serialization.load_pem_private_key(key, None)
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("the key that signs certificates must be RSA or ECDSA")
    found = x509.load_pem_x509_certificate(certificate)
    if found.public_key() != loaded.public_key():
        raise ValueError("the certificate of the signing authority does not match its key")
    return Authority(found, loaded)


def request_of(csr: Obj) -> x509.CertificateSigningRequest:
    """ValueError."""
    return x509.load_pem_x509_csr(b64decode(csr["spec"]["request"]))


# ---- what a signer signs


def _alternatives(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


class _Asked(NamedTuple):
    name: str
    organizations: list[str]
    names: dict[str, list[object]]  # DNS, Email, IP, URI
    usages: frozenset[str]


def _asked(csr: Obj) -> _Asked:
    request = request_of(csr)
    subject = request.subject

    def values(oid: ObjectIdentifier) -> list[str]:
        return [str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)]

    alternatives = _alternatives(request)
    names = {kind: list[object](alternatives.get_values_for_type(type_)) for kind, type_ in _NAMES.items()}
    return _Asked(
        (values(NameOID.COMMON_NAME) or [""])[-1],
        values(NameOID.ORGANIZATION_NAME),
        names,
        frozenset(csr["spec"].get("usages") or ()),
    )


_NAMES: dict[str, type[x509.DNSName | x509.RFC822Name | x509.IPAddress | x509.UniformResourceIdentifier]] = {
    "DNS": x509.DNSName,
    "Email": x509.RFC822Name,
    "IP": x509.IPAddress,
    "URI": x509.UniformResourceIdentifier,
}


def _of_node(asked: _Asked, usage: str, banned: Collection[str]) -> str:
    if asked.organizations != ["system:nodes"]:
        return "subject organization is not system:nodes"
    for kind in banned:
        if asked.names[kind]:
            return f"{kind} subjectAltNames are not allowed"
    usages = {"digital signature", usage}
    if asked.usages - {"key encipherment"} != usages:
        return f"usages did not match {_go(usages | {'key encipherment'})}"
    if not asked.name.startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    return ""


def _go(values: Iterable[str]) -> str:
    return f"[{' '.join(sorted(values))}]"


def _kubelet_client(asked: _Asked) -> str:
    return _of_node(asked, "client auth", ("DNS", "Email", "IP", "URI"))


def _kubelet_serving(asked: _Asked) -> str:
    if asked.organizations == ["system:nodes"] and not (asked.names["DNS"] or asked.names["IP"]):
        return "DNS or IP subjectAltName is required"
    return _of_node(asked, "server auth", ("Email", "URI"))


def _api_client(asked: _Asked) -> str:
    for usage in sorted(asked.usages - {"digital signature", "key encipherment", "client auth"}):
        return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in asked.usages else "missing required usage for client certificate: client auth"


_SIGNERS: dict[str, Callable[[_Asked], str]] = {
    API_CLIENT: _api_client,
    KUBELET_CLIENT: _kubelet_client,
    KUBELET_SERVING: _kubelet_serving,
    UNKNOWN: lambda _: "",
}


def is_ours(csr: Obj) -> bool:
    return csr["spec"].get("signerName") in _SIGNERS


def objection(csr: Obj) -> str:
    """Why the signer that is asked may not sign; "" = it may."""
    return _SIGNERS[csr["spec"]["signerName"]](_asked(csr))


def approval(csr: Obj) -> tuple[str, str] | None:
    """(the subresource of certificatesigningrequests that the requester must be allowed to create, what to say then)
    when the request is one that nobody needs to look at."""
    if csr["spec"].get("signerName") != KUBELET_CLIENT:
        return None
    asked = _asked(csr)
    if _kubelet_client(asked):
        return None
    if csr["spec"].get("username") == asked.name:
        return "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."
    return "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."


# ---- signing

_KEY_USAGES = {
    "signing": "digital_signature", "digital signature": "digital_signature",
    "content commitment": "content_commitment", "key encipherment": "key_encipherment",
    "key agreement": "key_agreement", "data encipherment": "data_encipherment", "cert sign": "key_cert_sign",
    "crl sign": "crl_sign", "encipher only": "encipher_only", "decipher only": "decipher_only",
}  # fmt: skip
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION, "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"), "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"), "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING, "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}  # fmt: skip


def sign(csr: Obj, by: Authority, longest: timedelta, now: datetime) -> bytes:
    """The certificate, PEM."""
    request = request_of(csr)
    usages = csr["spec"].get("usages") or []
    keys = dict.fromkeys(_KEY_USAGES.values(), False)
    keys |= {_KEY_USAGES[usage]: True for usage in usages if usage in _KEY_USAGES}
    if not keys["key_agreement"]:  # the two qualify it alone
        keys |= {"encipher_only": False, "decipher_only": False}
    extended = dict.fromkeys(_EXTENDED_USAGES[usage] for usage in usages if usage in _EXTENDED_USAGES)
    asked = csr["spec"].get("expirationSeconds")
    life = longest if asked is None else max(_SHORTEST, min(longest, timedelta(seconds=asked)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(by.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(min(now + life, by.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
    )
    if any(keys.values()):
        builder = builder.add_extension(x509.KeyUsage(**keys), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    judged = tuple(_NAMES.values())
    names: list[x509.GeneralName] = [name for name in _alternatives(request) if isinstance(name, judged)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(request.subject))
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


# ---- having served


def is_settled(csr: Obj) -> bool:
    """Approved, denied, or issued."""
    decided = any(meta.is_condition_true(csr, kind) for kind in ("Approved", "Denied"))
    return decided or bool((csr.get("status") or {}).get("certificate"))


def waits_for_signature(csr: Obj) -> bool:
    approved, failed, denied = (meta.is_condition_true(csr, kind) for kind in ("Approved", "Failed", "Denied"))
    return approved and not failed and not denied and not (csr.get("status") or {}).get("certificate")


def has_served(csr: Obj, now: datetime) -> bool:
    """An hour after its end, a day without one, and when what was issued has expired."""
    status = csr.get("status") or {}
    conditions = status.get("conditions") or []
    if not conditions:
        return meta.parse_time(csr["metadata"]["creationTimestamp"]) < now - _DAY
    for condition in conditions:
        stamp = condition.get("lastUpdateTime") or csr["metadata"]["creationTimestamp"]
        if condition.get("type") in ("Approved", "Denied", "Failed") and meta.parse_time(stamp) < now - _HOUR:
            return True
    if not (certificate := status.get("certificate")):
        return False
    try:
        return x509.load_pem_x509_certificate(b64decode(certificate)).not_valid_after_utc < now
    except ValueError:
        return False
