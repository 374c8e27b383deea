"""ValidatingWebhookConfiguration and MutatingWebhookConfiguration: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/admissionregistration/validation and
k8s.io/apiserver/pkg/util/webhook.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from api.columns import AGE, Cell, count, tabled
from api.errors import invalid, required
from api.kinds.admission_rules import default_rules, match_conditions, rule_with_operations, unique
from api.meta import Obj
from api.registry import Hooks
from api.rules import Row, check, each, given, needed, of, within
from api.validation import (
    Errors,
    dns_1035_label,
    dns_subdomain,
    label_selector,
    port_number,
    shown,
)

_VERSIONS = ("v1", "v1beta1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_URL_FORM = "; desired format: https://host[/path]"


def _default_webhooks(configuration: Obj) -> None:
    mutating = configuration.get("kind") == "MutatingWebhookConfiguration"
    for webhook in configuration.get("webhooks") or []:
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        webhook.setdefault("timeoutSeconds", 10)
        if mutating:
            webhook.setdefault("reinvocationPolicy", "Never")
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        default_rules(webhook.get("rules"))


def _full_name(value: str | None, field: str) -> Errors:
    if not value:
        return [required(field)]
    errors = dns_subdomain(value, field)
    if not errors and value.count(".") < 2:
        errors.append(invalid(field, value, "should be a domain with at least three segments separated by dots"))
    return errors


def _url(value: str, field: str) -> Errors:
    try:
        url = urlsplit(value)
    except ValueError as error:
        return [invalid(field, value, f"url must be a valid URL: {error}{_URL_FORM}")]
    errors: Errors = []
    if url.scheme != "https":
        errors.append(invalid(field, url.scheme, f"'https' is the only allowed URL scheme{_URL_FORM}"))
    if not url.netloc:
        errors.append(invalid(field, url.netloc, f"host must be specified{_URL_FORM}"))
    if "@" in url.netloc:
        errors.append(invalid(field, url.netloc.rpartition("@")[0], "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(invalid(field, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(invalid(field, url.query, "query parameters are not permitted in the URL"))
    return errors


def _service(service: Obj, field: str) -> Errors:
    errors = needed("service name is required")(service.get("name"), f"{field}.name")
    errors += needed("service namespace is required")(service.get("namespace"), f"{field}.namespace")
    port, path = service.get("port") or 0, service.get("path") or ""
    if port_number(port, field):
        errors.append(invalid(f"{field}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    return errors + service_path(path, f"{field}.path")


def service_path(path: str, field: str) -> Errors:
    if path in ("", "/"):
        return []
    if path == "//":
        return [invalid(field, path, "segment[0] may not be empty")]
    errors = [] if path.startswith("/") else [invalid(field, path, "must start with a '/'")]
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(invalid(field, path, f"segment[{index}] may not be empty"))
        for error in dns_subdomain(step, field) if step else []:
            why = error.message.partition(f'"{step}": ')[2]
            errors.append(invalid(field, path, f"segment[{index}]: {why}"))
    return errors


def client_config(config: Obj | None, field: str) -> Errors:
    """Where a webhook is: a URL, or a Service."""
    url, service = (config or {}).get("url"), (config or {}).get("service")
    if (url is None) == (service is None):
        return [required(field, "exactly one of url or service is required")]
    return given(_url)(url, f"{field}.url") + given(_service)(service, f"{field}.service")


def _side_effects(value: str | None, field: str) -> Errors:
    if value is None:
        return [required(field, f"must specify one of {', '.join(_SIDE_EFFECTS)}")]
    return of(*_SIDE_EFFECTS)(value, field)


def _review_versions(versions: list[str] | None, field: str) -> Errors:
    versions = versions or []
    if not versions:
        return [required(field, f"must specify one of {', '.join(_VERSIONS)}")]
    errors: Errors = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{field}[{index}]", version, "duplicate version"))
        else:
            errors += dns_1035_label(version, f"{field}[{index}]")
    if not set(versions) & set(_VERSIONS):
        errors.append(invalid(field, shown(versions), f"must include at least one of {', '.join(_VERSIONS)}"))
    return errors


_WEBHOOK: tuple[Row, ...] = (
    ("name", _full_name),
    ("rules", each(rule_with_operations)),
    ("failurePolicy", of("Fail", "Ignore")),
    ("matchPolicy", of("Equivalent", "Exact")),
    ("sideEffects", _side_effects),
    ("timeoutSeconds", within(1, 30, "the timeout value must be between 1 and 30 seconds")),
    ("namespaceSelector", label_selector),
    ("objectSelector", label_selector),
    ("clientConfig", client_config),
    ("reinvocationPolicy", of("IfNeeded", "Never")),
    ("matchConditions", match_conditions),
    ("admissionReviewVersions", _review_versions),
)


def _validate_webhooks(configuration: Obj, _: Obj | None) -> Errors:
    webhooks = configuration.get("webhooks")
    errors = each(lambda webhook, field: check(webhook, field, _WEBHOOK))(webhooks, "webhooks")
    return errors + unique(webhooks, "webhooks", "name")


WEBHOOKS = tabled(
    Hooks(default=_default_webhooks, validate=_validate_webhooks),
    Cell("Webhooks", count("webhooks"), "integer"),
    AGE,
)
