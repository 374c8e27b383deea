"""The PodSecurity step: labels, modes, exemptions, and what a change of labels says of pods that are there.

https://kubernetes.io/docs/concepts/security/pod-security-admission/ ; texts as in
k8s.io/pod-security-admission/admission.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from api.builtin import BUILTIN, NAMESPACES, PODS
from api.errors import Forbidden, Invalid, NotFound
from api.meta import Obj
from api.registry import Registry
from apiserver.admission.chain import Attempt
from apiserver.admission.pod_security import policy
from apiserver.admission.pod_security.step import PodSecurity
from apiserver.auth.user import User
from apiserver.configfile import ConfigError
from tests.unit.apiserver.admitting import ADMIN, Objects

PREFIX = "pod-security.kubernetes.io/"
REGISTRY = Registry(BUILTIN)
BAD: Obj = {"containers": [{"name": "a", "image": "i", "securityContext": {"privileged": True}}]}
GOOD: Obj = {"containers": [{"name": "a", "image": "i"}]}
WHY = 'privileged (container "a" must not set securityContext.privileged=true)'


def namespace(**labels: str) -> Obj:
    return {"metadata": {"name": "a", "labels": {PREFIX + k.replace("_", "-"): v for k, v in labels.items()}}}


def pod(spec: Obj, name: str = "p", **metadata: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "a", **metadata}, "spec": spec}


def configuration(**fields: Any) -> Obj:
    return {
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration", **fields,
    }  # fmt: skip


async def judged(
    labels: Obj, obj: Obj, old: Obj | None = None, *, row: Any = PODS, config: Obj | None = None, user: User = ADMIN,
    subresource: str = "",
) -> Attempt:  # fmt: skip
    step = PodSecurity(Objects((NAMESPACES, labels)).store, config)
    verb = "create" if old is None else "update"
    tried = Attempt(user, verb, row, subresource, "a", obj["metadata"]["name"], obj, old)
    if step.handles(verb, row, subresource):
        await step.validate(tried)
    return tried


async def test_what_is_enforced_is_refused() -> None:
    why = f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {WHY}'
    with pytest.raises(Forbidden) as refused:
        await judged(namespace(enforce="baseline"), pod(BAD))
    assert refused.value.message == why
    assert (await judged(namespace(enforce="baseline"), pod(GOOD))).annotations == {
        PREFIX + "enforce-policy": "baseline:latest"
    }


async def test_without_labels_everything_passes() -> None:
    tried = await judged(namespace(), pod(BAD))
    assert (tried.warnings, tried.annotations) == ([], {PREFIX + "enforce-policy": "privileged:latest"})


async def test_what_is_warned_of_and_audited_passes() -> None:
    tried = await judged(namespace(warn="baseline", warn_version="v1.30", audit="baseline"), pod(BAD))
    assert tried.warnings == [f'would violate PodSecurity "baseline:v1.30": {WHY}']
    assert tried.annotations[PREFIX + "audit-violations"] == f'would violate PodSecurity "baseline:latest": {WHY}'


async def test_what_is_refused_is_audited_but_not_warned_of() -> None:
    labels = namespace(enforce="baseline", audit="baseline", warn="baseline")
    tried = Attempt(ADMIN, "create", PODS, "", "a", "p", pod(BAD), None)
    with pytest.raises(Forbidden):
        await PodSecurity(Objects((NAMESPACES, labels)).store).validate(tried)
    assert tried.warnings == []
    assert tried.annotations[PREFIX + "audit-violations"].startswith("would violate")


@pytest.mark.parametrize(
    ("group", "plural", "wrap"),
    [
        ("", "replicationcontrollers", lambda t: {"spec": {"template": t}}),
        ("", "podtemplates", lambda t: {"template": t}),
        ("apps", "replicasets", lambda t: {"spec": {"template": t}}),
        ("apps", "deployments", lambda t: {"spec": {"template": t}}),
        ("apps", "statefulsets", lambda t: {"spec": {"template": t}}),
        ("apps", "daemonsets", lambda t: {"spec": {"template": t}}),
        ("batch", "jobs", lambda t: {"spec": {"template": t}}),
        ("batch", "cronjobs", lambda t: {"spec": {"jobTemplate": {"spec": {"template": t}}}}),
    ],
)
async def test_what_makes_pods_is_warned_of_and_never_refused(group: str, plural: str, wrap: Any) -> None:
    """Workload resources and Pod templates: enforce is not applied to them."""
    row = REGISTRY.by_plural(group, "v1", plural)
    workload = {"metadata": {"name": "w", "namespace": "a"}, **wrap({"metadata": {}, "spec": BAD})}
    for old in (None, workload):
        tried = await judged(namespace(enforce="baseline", warn="baseline"), workload, old, row=row)
        assert tried.warnings == [f'would violate PodSecurity "baseline:latest": {WHY}']
    assert (await judged(namespace(warn="baseline"), {"metadata": {"name": "w"}, "spec": {}}, row=row)).warnings == []
    scaled = await judged(namespace(warn="baseline"), workload, workload, row=row, subresource="status")
    assert scaled.warnings == []


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({}, False),
        ({"activeDeadlineSeconds": 5}, False),
        ({"containers": [{**BAD["containers"][0], "image": "other"}]}, True),
        ({"ephemeralContainers": [{"name": "e", "image": "i"}]}, True),
        ({"initContainers": [{"name": "e", "image": "i"}]}, True),
    ],
)
async def test_an_update_is_judged_when_it_changes_what_runs(change: Obj, matters: bool) -> None:
    for subresource in ("", "ephemeralcontainers"):
        made = judged(namespace(enforce="baseline"), pod({**BAD, **change}), pod(BAD), subresource=subresource)
        if matters:
            with pytest.raises(Forbidden):
                await made
        else:
            await made
    await judged(namespace(enforce="baseline"), pod({**BAD, **change}), pod(BAD), subresource="status")


EXEMPT = configuration(
    defaults={"enforce": "baseline", "enforce-version": "v1.33"},
    exemptions={"usernames": ["boss"], "runtimeClasses": ["box"], "namespaces": ["a"]},
)


async def test_the_configuration_sets_defaults_and_exempts() -> None:
    """tasks/configure-pod-container/enforce-standards-admission-controller"""
    only = configuration(defaults=EXEMPT["defaults"])
    with pytest.raises(Forbidden, match="baseline:v1.33"):
        await judged(namespace(), pod(BAD), config=only)
    await judged(namespace(enforce="privileged"), pod(BAD), config=only)
    for what, spec, user in (
        ("namespaces", BAD, ADMIN), ("usernames", BAD, User("boss", ())),
        ("runtimeClasses", {**BAD, "runtimeClassName": "box"}, ADMIN),
    ):  # fmt: skip
        config = configuration(defaults=EXEMPT["defaults"], exemptions={what: EXEMPT["exemptions"][what]})
        tried = await judged(namespace(), pod(spec), config=config, user=user)
        assert tried.annotations == {PREFIX + "exempt": {"usernames": "user", "namespaces": "namespace"}.get(
            what, "runtimeClass")}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"defaults": {"enforce": "strict"}}, "defaults.enforce"),
        ({"defaults": {"enforce-version": "1.35"}}, "defaults.enforce-version"),
        ({"defaults": {"enforced": "baseline"}}, "enforced"),
        ({"exemptions": {"namespaces": ["A"]}}, "exemptions.namespaces"),
        ({"exemptions": {"namespaces": ["a", "a"]}}, "exemptions.namespaces"),
        ({"exemptions": {"runtimeClasses": ["-"]}}, "exemptions.runtimeClasses"),
        ({"exemptions": {"usernames": [""]}}, "exemptions.usernames"),
        ({"apiVersion": "pod-security.admission.config.k8s.io/v0"}, "must be PodSecurityConfiguration"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(fields: Obj, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        PodSecurity(Objects().store, configuration() | fields)


async def test_labels_that_cannot_be_read_are_refused() -> None:
    labels = namespace(enforce="strict", enforce_version="1.35", warn="x")
    with pytest.raises(Invalid) as refused:
        await judged(labels, labels, row=NAMESPACES)
    assert refused.value.message == (
        'Namespace "a" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must '
        "be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/enforce-version]: "
        'Invalid value: "1.35": must be "latest" or "v1.x", metadata.labels[pod-security.kubernetes.io/warn]: Invalid '
        'value: "x": must be one of privileged, baseline, restricted]'
    )
    await judged(labels, labels, labels, row=NAMESPACES)  # they stood there before


async def test_labels_that_cannot_be_read_hold_as_the_strictest() -> None:
    """api/helpers.go: restricted for what is enforced, nothing for what is only told; the version is the latest."""
    found, errors = policy.of(
        {PREFIX + "enforce": "x", PREFIX + "warn": "x", PREFIX + "warn-version": "v1.01"}, policy.OPEN
    )
    assert (list(map(str, found)), len(errors)) == (["restricted:latest", "privileged:latest", "privileged:latest"], 3)
    tried = Attempt(ADMIN, "create", PODS, "", "a", "p", pod(GOOD), None)
    with pytest.raises(Forbidden, match="restricted:latest"):
        await PodSecurity(Objects((NAMESPACES, namespace(enforce="x"))).store).validate(tried)
    assert tried.annotations[PREFIX + "error"].startswith("Failed to parse policy: metadata.labels[")


async def test_a_namespace_that_is_not_there_admits_no_pod() -> None:
    with pytest.raises(NotFound):
        await PodSecurity(Objects().store).validate(Attempt(ADMIN, "create", PODS, "", "a", "p", pod(GOOD), None))


async def relabelled(old: Obj, new: Obj, *pods: Obj, config: Obj | None = None) -> list[str]:
    step = PodSecurity(Objects(*((PODS, p) for p in pods)).store, config)
    tried = Attempt(ADMIN, "update", NAMESPACES, "", "", "a", new, old)
    await step.validate(tried)
    return tried.warnings


async def test_a_stricter_label_warns_of_the_pods_that_break_it() -> None:
    owned = {"ownerReferences": [{"uid": "u", "controller": True}]}
    pods = [
        pod(BAD, "z"), pod(BAD, "y", **owned), pod(BAD, "x", **owned), pod(GOOD, "fine"),
        pod({**GOOD, "hostPID": True}, "h"),
    ]  # fmt: skip
    told = [
        'existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"',
        "h: host namespaces",
        "x (and 2 other pods): privileged",
    ]
    assert await relabelled(namespace(), namespace(enforce="baseline"), *pods) == told
    assert await relabelled(namespace(enforce="restricted"), namespace(enforce="baseline"), *pods) == []
    assert await relabelled(namespace(enforce="baseline"), namespace(enforce="privileged"), *pods) == []
    assert (
        await relabelled(namespace(enforce="baseline"), namespace(enforce="baseline", warn="restricted"), *pods) == []
    )
    other = await relabelled(
        namespace(enforce="restricted"), namespace(enforce="baseline", enforce_version="v1.30"), *pods
    )
    assert other[1:] == told[1:]


async def test_not_all_of_many_pods_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.admission.pod_security.step._MOST", 2)
    owned = {"ownerReferences": [{"uid": "u", "controller": True}]}
    pods = [pod(GOOD, "a", **owned), pod(GOOD, "b", **owned), pod(BAD, "c")]
    assert await relabelled(namespace(), namespace(enforce="baseline"), *pods) == [
        "new PodSecurity enforce level only checked against the first 2 of 3 existing pods",
        'existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"',
        "c: privileged",
    ]


async def test_what_was_decided_is_counted() -> None:
    """k8s.io/pod-security-admission/metrics: refusals of every mode, and what enforcing let pass."""
    step = PodSecurity(
        Objects((NAMESPACES, namespace(enforce="baseline", warn="restricted", warn_version="v1.99"))).store
    )
    for spec in (GOOD, BAD):
        with contextlib.suppress(Forbidden):
            await step.validate(Attempt(ADMIN, "create", PODS, "", "a", "p", pod(spec), None))
    counted = {
        tuple(sample.labels[name] for name in ("decision", "policy_level", "policy_version", "mode", "resource")): sample.value
        for metric in step.counts.collect() for sample in metric.samples if metric.name == "pod_security_evaluations"
    }  # fmt: skip
    assert counted == {
        ("allow", "baseline", "latest", "enforce", "pod"): 1, ("deny", "baseline", "latest", "enforce", "pod"): 1,
        ("deny", "restricted", "future", "warn", "pod"): 1,
    }  # fmt: skip


async def test_labels_of_an_exempt_namespace_are_said_to_be_ignored() -> None:
    text = 'namespace "a" is exempt from Pod Security, and the policy (enforce=baseline:latest) will be ignored'
    labels = namespace(enforce="baseline")
    config = configuration(exemptions={"namespaces": ["a"]})
    assert await relabelled(namespace(), labels, pod(BAD), config=config) == [text]
    assert (await judged(labels, labels, row=NAMESPACES, config=config)).warnings == [text]
    assert (await judged(namespace(), namespace(), row=NAMESPACES, config=config)).warnings == []
