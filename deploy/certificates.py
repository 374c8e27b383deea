"""X.509 in the few shapes a cluster needs: an authority, and certificates it issues for servers and clients.

Pure but for the system's random numbers: takes and returns PEM bytes, time is a parameter. ECDSA P-256
throughout; an authority lives ten years, what it issues one year.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Request:
    """Whom a certificate names and what it is good for. `names` are DNS names and IP addresses alike."""

    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()
    server: bool = False
    client: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def new_key() -> bytes:
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key(key: bytes) -> bytes:
    """The public half of a PEM private key, as PEM SubjectPublicKeyInfo."""
    return (
        _load_key(key)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def new_authority(common_name: str, now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def issue(authority: Pair, request: Request, now: datetime) -> Pair:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = _load_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * request.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * request.client
    life = min(CERTIFICATE_LIFE, issuer.not_valid_after_utc - now)
    builder = (
        _builder(_subject(request), issuer.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if request.names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in request.names])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def unfit(pair: Pair, authority: Pair, request: Request, now: datetime) -> str:
    """Why `pair` must be issued anew, or "" when it still serves: it is what `request` asks, comes from
    `authority`, matches its key and has at least a third of its life left."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = _load_key(pair.key)
        issuer = x509.load_pem_x509_certificate(authority.certificate)
        if certificate.public_key() != key.public_key():
            return "does not match its key"
    except ValueError as error:
        return f"cannot be read ({error})"
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        return f"is not from the present authority ({type(error).__name__})"
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if now < certificate.not_valid_before_utc:
        return "is not valid yet: was the clock set back?"
    if certificate.not_valid_after_utc - now < life / 3:
        return f"ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if certificate.subject != _subject(request):
        return "names another subject"
    if _names(certificate) != {_canonical(name) for name in request.names}:
        return "has other names or addresses"
    return ""


def not_after(certificate: bytes) -> datetime:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def not_before(certificate: bytes) -> datetime:
    return x509.load_pem_x509_certificate(certificate).not_valid_before_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(request: Request) -> x509.Name:
    attributes = []
    if request.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.organization))
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _general_name(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _canonical(name: str) -> str:
    address = _address(name)
    return name if address is None else str(address)


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses: Iterable[object] = extension.get_values_for_type(x509.IPAddress)
    return {*extension.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)}


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
