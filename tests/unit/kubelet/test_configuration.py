"""The kubelet's configuration file: what is read, what is refused, what /configz says of it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kubelet.configuration import API_VERSION, KIND, Configuration, ConfigurationError, parse, read
from kubelet.configuration_unsupported import UNSUPPORTED


def given(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, **fields}


def test_what_is_not_given_has_its_default() -> None:
    assert parse(given()) == Configuration()
    assert Configuration().max_pods == 110
    assert Configuration().status_update_seconds == 10.0


def test_a_file_is_read_and_told_again_with_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "kubelet.yaml"
    file.write_text(f"apiVersion: {API_VERSION}\nkind: {KIND}\nmaxPods: 7\nnodeStatusReportFrequency: 1m30s\n")
    configuration = read(str(file))
    assert (configuration.max_pods, configuration.status_report_seconds) == (7, 90.0)
    told = configuration.document()
    assert (told["maxPods"], told["nodeStatusReportFrequency"], told["nodeStatusUpdateFrequency"]) == (
        7,
        "1m30s",
        "10s",
    )
    assert parse(told) == configuration


def test_a_duration_of_zero_is_one_that_is_not_given() -> None:
    """v1beta1/defaults.go compares with the zero Duration."""
    assert parse(given(nodeStatusUpdateFrequency="0s")).status_update_seconds == 10.0


REFUSED = {
    "a field that nobody knows": ({"maxPod": 1}, "maxPod is no field of KubeletConfiguration"),
    "a nested one": (
        {"authentication": {"webhook": {"cache": 1}}},
        "authentication.webhook.cache is no field of KubeletConfiguration",
    ),
    "a value of another type": ({"maxPods": "7"}, "maxPods must be a whole number between 1 and 2147483647"),
    "a boolean for a number": ({"maxPods": True}, "maxPods must be a whole number between 1 and 2147483647"),
    "a duration without unit": ({"nodeStatusUpdateFrequency": 10}, "must be a duration"),
    "what this node cannot do": ({"readOnlyPort": 10255}, "readOnlyPort is not supported: nothing is served without"),
    "what cannot be reserved": ({"kubeReserved": {"pods": "1"}}, "kubeReserved pods cannot be reserved"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(given(**fields))
    assert why in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(given(maxPods=0, nonsense=1))
    assert "maxPods" in str(refused.value) and "nonsense" in str(refused.value)


def test_what_says_what_the_node_does_anyway_is_accepted() -> None:
    assert parse(given(readOnlyPort=0, cgroupDriver=None)) == Configuration()


@pytest.mark.parametrize(
    "text", ["[]", "kind: Pod\napiVersion: v1\n", "a: [", ""], ids=["list", "kind", "yaml", "empty"]
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubelet.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"kubelet\.yaml: "):
        read(str(file))


def test_no_field_is_both_read_and_refused() -> None:
    read_here = {f.metadata["name"] for f in fields(Configuration) if f.metadata}
    assert not read_here & UNSUPPORTED.keys()
