"""How a webhook's address is checked (k8s.io/apiserver/pkg/util/webhook/validation.go)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from api.errors import invalid, required
from api.meta import Obj
from api.validation import Errors, dns_subdomain


def client_config(config: Obj, at: str) -> Errors:
    """Exactly one of url and service, and that well formed."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(at, "exactly one of url or service is required")]
    return _url(url, f"{at}.url") if url is not None else _service(service or {}, f"{at}.service")


def _url(url: str, at: str) -> Errors:
    parts = urlsplit(url)
    form = 'desired format: https://host[/path]"'
    errors: Errors = []
    if parts.scheme != "https":
        errors.append(
            invalid(at, url if not parts.scheme else parts.scheme, f"'https' is the only allowed URL scheme; {form}")
        )
    if not parts.netloc:
        errors.append(invalid(at, parts.netloc, f"host must be specified; {form}"))
    if parts.username is not None:
        errors.append(invalid(at, parts.username, f"user information is not permitted in the URL; {form}"))
    if parts.fragment:
        errors.append(invalid(at, parts.fragment, f"fragments are not permitted in the URL; {form}"))
    if parts.query:
        errors.append(invalid(at, parts.query, f"query parameters are not permitted in the URL; {form}"))
    return errors


def _service(service: Obj, at: str) -> Errors:
    errors = [required(f"{at}.{name}", f"service {name} is required") for name in ("name", "namespace")
              if not service.get(name)]  # fmt: skip
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        errors.append(invalid(f"{at}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    path = service.get("path")
    if not path or path == "/":
        return errors
    field = f"{at}.path"
    if not path.startswith("/"):
        errors.append(invalid(field, path, "must start with a '/'"))
    for index, step in enumerate(path.removeprefix("/").removesuffix("/").split("/")):
        if not step:
            return [*errors, invalid(field, path, f"segment[{index}] may not be empty")]
        if dns_subdomain(step, field):
            errors.append(invalid(field, path, f"segment[{index}]: must be a DNS-1123 subdomain"))
    return errors


def ca_bundle(bundle: str, at: str) -> Errors:
    """A list of certificates in PEM, as it stands in JSON (base64)."""
    # Not at the top: the daemons import this for a table of kinds, and would pay 9 MB for what only a server does.
    from cryptography import x509  # noqa: PLC0415

    try:
        x509.load_pem_x509_certificates(base64.b64decode(bundle))
    except (ValueError, binascii.Error) as error:
        return [invalid(at, bundle, f"unable to load root certificates: unable to parse bytes as PEM block: {error}")]
    return []
