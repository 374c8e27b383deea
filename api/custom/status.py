"""What the status of a CustomResourceDefinition should say, given the other definitions of its group (pure).

Names that another definition holds are not accepted; the first to have accepted them keeps them (upstream's naming,
establishing and apiapproval controllers, pkg/controller/*).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from api.custom.approval import approval
from api.meta import Obj

_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def wanted_status(definition: Obj, others: Iterable[Obj], now: str) -> Obj:
    """The status as it should be; equal to the present one when there is nothing to change.

    `others` are the other definitions; of none the versions are looked at. `now` is a timestamp for conditions that
    change. NonStructuralSchema is not among them: a definition whose schemas are not structural does not get in.
    """
    status: Obj = copy.deepcopy(definition.get("status") or {})
    status.setdefault("storedVersions", [])
    conditions: list[Obj] = list(status.get("conditions") or [])
    group = definition["spec"]["group"]
    held = [other["status"] for other in others if other["spec"]["group"] == group and other.get("status")]
    accepted, reason, why = _names(definition, held)
    status["acceptedNames"] = accepted
    set_condition(conditions, now, "NamesAccepted", not reason, reason or "NoConflicts", why or "no conflicts found")
    established = any((c.get("type"), c.get("status")) == ("Established", "True") for c in conditions)
    if not reason and not established:
        set_condition(conditions, now, "Established", True, "InitialNamesAccepted",
                      "the initial names have been accepted")  # fmt: skip
    elif reason and not established:
        set_condition(conditions, now, "Established", False, "NotAccepted", "not all names are accepted")
    policy = approval(definition)
    if policy is not None:
        set_condition(conditions, now, "KubernetesAPIApprovalPolicyConformant", *policy)
    status["conditions"] = conditions
    return status


def set_condition(conditions: list[Obj], now: str, type_: str, true: bool, reason: str, message: str) -> None:
    wanted = {"type": type_, "status": "True" if true else "False", "reason": reason, "message": message}
    for condition in conditions:
        if condition.get("type") == type_:  # others may have written conditions without one
            if condition.get("status") != wanted["status"]:
                condition["lastTransitionTime"] = now
            condition.update(wanted)
            return
    conditions.append({**wanted, "lastTransitionTime": now})


def _names(definition: Obj, held: list[Obj]) -> tuple[Obj, str, str]:
    """(the names that are accepted, the reason and message when one is not)."""
    wanted: Obj = definition["spec"]["names"]
    current: Obj = (definition.get("status") or {}).get("acceptedNames") or {}
    taken: set[str] = set()
    kinds: set[str] = set()
    for status in held:
        names = status.get("acceptedNames") or {}
        taken |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or [])}
        kinds |= {names.get("kind", ""), names.get("listKind", "")}
    accepted: Obj = {name: current[name] for name in _NAMES if current.get(name)}
    reason = why = ""

    for name, among, code in (
        ("plural", taken, "PluralConflict"),
        ("singular", taken, "SingularConflict"),
        ("shortNames", taken, "ShortNamesConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        value = wanted.get(name)
        values = value if isinstance(value, list) else [value] if value else []
        clash = sorted(v for v in values if v in among)
        if clash:
            reason = code
            found = [f'"{v}" is already in use' for v in clash]
            why = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
        elif value:
            accepted[name] = value
        else:
            accepted.pop(name, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return {"kind": "", "plural": "", **accepted}, reason, why
