"""The rows of admissionregistration.k8s.io."""

from __future__ import annotations

from api.kinds import admission_policy, webhook
from api.registry import Resource

_GROUP = "admissionregistration.k8s.io"
_CATEGORIES = ("api-extensions",)

MUTATING_WEBHOOK_CONFIGURATIONS = Resource(
    _GROUP,
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    "mutatingwebhookconfiguration",
    False,
    categories=_CATEGORIES,
    has_generation=True,
    hooks=webhook.WEBHOOKS,
)
MUTATING_ADMISSION_POLICIES = Resource(
    _GROUP,
    "v1beta1",
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicy",
    False,
    categories=_CATEGORIES,
    has_generation=True,
    hooks=admission_policy.MUTATING_POLICY,
)
MUTATING_ADMISSION_POLICY_BINDINGS = Resource(
    _GROUP,
    "v1beta1",
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    "mutatingadmissionpolicybinding",
    False,
    categories=_CATEGORIES,
    has_generation=True,
    hooks=admission_policy.MUTATING_POLICY_BINDING,
)
VALIDATING_ADMISSION_POLICIES = Resource(
    _GROUP,
    "v1",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    "validatingadmissionpolicy",
    False,
    categories=_CATEGORIES,
    subresources=("status",),
    has_generation=True,
    hooks=admission_policy.VALIDATING_POLICY,
)
VALIDATING_ADMISSION_POLICY_BINDINGS = Resource(
    _GROUP,
    "v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicybinding",
    False,
    categories=_CATEGORIES,
    has_generation=True,
    hooks=admission_policy.VALIDATING_POLICY_BINDING,
)
VALIDATING_WEBHOOK_CONFIGURATIONS = Resource(
    _GROUP,
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    "validatingwebhookconfiguration",
    False,
    categories=_CATEGORIES,
    has_generation=True,
    hooks=webhook.WEBHOOKS,
)

ROWS = (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
