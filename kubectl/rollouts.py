"""What `rollout status` says of a Deployment, and what `rollout undo` and `history` find. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from api.meta import Obj, get_condition
from kubectl import tabwriter
from kubectl.describe.pods import template_block
from kubectl.describe.sheet import Sheet
from kubectl.failures import CliError
from kubectl.templates import by_revision, change_cause


def deployment_status(obj: Obj, wanted_revision: int = 0) -> tuple[str, bool]:
    """(message, done). CliError when the rollout has failed or is not the one asked about."""
    name, spec, status = obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    if wanted_revision:
        text = (obj["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", "0")
        if int(text) != wanted_revision:
            raise CliError(f"desired revision ({wanted_revision}) is different from the running revision ({text})")
    if obj["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...\n", False
    condition = get_condition(obj, "Progressing")
    if condition and condition.get("reason") == "ProgressDeadlineExceeded":
        raise CliError(f'deployment "{name}" exceeded its progress deadline')
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...\n", False
    if status.get("replicas", 0) > updated:
        old = status["replicas"] - updated
        return f"{waiting}{old} old replicas are pending termination...\n", False
    available = status.get("availableReplicas", 0)
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...\n", False
    return f'deployment "{name}" successfully rolled out\n', True


def rollback_target(name: str, replica_sets: list[Obj], to_revision: int) -> Obj:
    """The ReplicaSet to go back to: of `to_revision`, or for 0 the one before the newest."""
    revisions = by_revision(replica_sets)
    if to_revision:
        if to_revision not in revisions:
            raise CliError(f"unable to find specified revision {to_revision} in history")
        return revisions[to_revision]
    ordered = sorted(revisions)
    if len(ordered) < 2:
        raise CliError(f'no rollout history found for deployment "{name}"')
    return revisions[ordered[-2]]


def history(replica_sets: list[Obj]) -> str:
    revisions = by_revision(replica_sets)
    if not revisions:
        return "No rollout history found."
    rows = "".join(f"{number}\t{change_cause(rs)}\n" for number, rs in revisions.items())
    return tabwriter.describe(f"REVISION\tCHANGE-CAUSE\n{rows}")


def revision_details(replica_sets: list[Obj], wanted: int) -> str:
    revisions = by_revision(replica_sets)
    if wanted not in revisions:
        raise CliError("unable to find the specified revision")
    rs = revisions[wanted]
    template = {**rs["spec"]["template"]}
    cause = change_cause(rs)
    if cause != "<none>":
        metadata = template.get("metadata") or {}
        annotations = {**(metadata.get("annotations") or {}), "kubernetes.io/change-cause": cause}
        template["metadata"] = {**metadata, "annotations": annotations}
    sheet = Sheet(datetime.now(UTC))
    template_block(sheet, template)
    return sheet.text()  # upstream leaves the tabs to the terminal here
