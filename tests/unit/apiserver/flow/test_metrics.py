"""The metrics that the documentation names.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#metrics
"""

from __future__ import annotations

from apiserver.flow.metrics import collect
from tests.unit.apiserver.flow.test_control import JANE, control, crowd

BOTH = {"priority_level", "flow_schema"}
OF_LEVEL = (
    "nominal_limit_seats", "lower_limit_seats", "upper_limit_seats", "current_limit_seats",
    "demand_seats_high_watermark", "demand_seats_average", "demand_seats_stdev", "demand_seats_smoothed",
    "target_seats",
)  # fmt: skip
LABELS = {
    "rejected_requests_total": {*BOTH, "reason"},
    "dispatched_requests_total": BOTH,
    "current_inqueue_requests": BOTH,
    "current_executing_requests": BOTH,
    "current_executing_seats": BOTH,
    "request_wait_duration_seconds_count": {*BOTH, "execute"},
    "request_execution_seconds_count": {*BOTH, "type"},
    "request_queue_length_after_enqueue_count": BOTH,
    "work_estimated_seats_count": BOTH,
    "seat_fair_frac": set(),
    **{name: {"priority_level"} for name in OF_LEVEL},
}


def test_names_and_labels() -> None:
    made = control(8)
    tickets = crowd(made, JANE, 5, 0.0)
    made.give_up(next(t for t in tickets if t.started is None), 1.0, "time-out")
    made.leave(tickets[0], 2.0)
    samples = [sample for metric in collect(made) for sample in metric.samples]
    found = {sample.name.removeprefix("apiserver_flowcontrol_"): set(sample.labels) for sample in samples}
    assert {name: found.get(name) for name in LABELS} == LABELS
    seats = {s.labels["priority_level"]: s.value for s in samples if s.name.endswith("_nominal_limit_seats")}
    assert seats["exempt"] == 0
    assert seats["workload-low"] == 4
