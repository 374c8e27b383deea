"""The row of certificates.k8s.io/v1."""

from __future__ import annotations

from api.kinds import certificates
from api.registry import Resource

CERTIFICATE_SIGNING_REQUESTS = Resource(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
    False,
    ("csr",),
    subresources=("approval", "status"),
    fields={"spec.signerName": ""},
    hooks=certificates.HOOKS,
)

ROWS = (CERTIFICATE_SIGNING_REQUESTS,)
