"""Webhook configurations and admission policies: defaults, validation, columns."""

from __future__ import annotations

from api.columns import AGE, Cell, at, count, tabled
from api.meta import Obj
from api.registry import Hooks


def _param_kind(policy: Obj) -> str:
    kind = (policy.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


_WEBHOOKS = (Cell("Webhooks", count("webhooks"), "integer"), AGE)

MUTATING_WEBHOOKS = tabled(Hooks(), *_WEBHOOKS)
VALIDATING_WEBHOOKS = tabled(Hooks(), *_WEBHOOKS)
VALIDATING_POLICY = tabled(
    Hooks(), Cell("Validations", count("spec", "validations"), "integer"), Cell("ParamKind", _param_kind), AGE
)
VALIDATING_POLICY_BINDING = tabled(
    Hooks(),
    Cell("PolicyName", at("spec", "policyName")),
    Cell("ParamRef", at("spec", "paramRef", "name", absent="<unset>")),
    AGE,
)
