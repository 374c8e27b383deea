"""What flow control counts, under upstream's names.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#metrics
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import Metric

from apiserver.flow.control import Control
from apiserver.metrics import counter, gauge, histogram

_LEVEL, _BOTH = ("priority_level",), ("priority_level", "flow_schema")


def collect(control: Control) -> Iterator[Metric]:
    def name(rest: str) -> str:
        return f"apiserver_flowcontrol_{rest}"

    tallies = control.tallies
    rejected = {(*key, why): n for key, tally in tallies.items() for why, n in tally.rejected.items()}
    yield counter(name("rejected_requests"), "Refused with 429.", (*_BOTH, "reason"), rejected)
    served = {key: tally.dispatched for key, tally in tallies.items()}
    yield counter(name("dispatched_requests"), "Begun.", _BOTH, served)
    for rest, help, attribute in (
        ("current_inqueue_requests", "Requests that wait.", "queued"),
        ("current_executing_requests", "Requests being served; of a watch, its beginning.", "executing"),
        ("current_executing_seats", "Seats taken.", "seats"),
    ):
        yield gauge(name(rest), help, _BOTH, {key: getattr(tally, attribute) for key, tally in tallies.items()})
    for rest, help, labels, counted in (
        ("request_wait_duration_seconds", "Time in a queue.", (*_BOTH, "execute"), control.waits),
        ("request_execution_seconds", "Time with a seat.", (*_BOTH, "type"), control.durations),
        ("work_estimated_seats", "Seats a request was given.", _BOTH, control.widths),
        ("request_queue_length_after_enqueue", "As seen by who waits.", _BOTH, control.lengths),
    ):
        yield histogram(name(rest), help, labels, counted)
    for rest, help, values in _of_levels(control):
        yield gauge(name(rest), help, _LEVEL, {(level,): value for level, value in values.items()})
    yield gauge(name("seat_fair_frac"), "Of its target, what each level gets within its bounds.", (),
                {(): control.fraction})  # fmt: skip


def _of_levels(control: Control) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    shares, wanted = control.shares.items(), control.wanted.items()
    yield "nominal_limit_seats", "By its shares.", {n: s.nominal for n, s in shares}
    yield "lower_limit_seats", "Without what it may lend.", {n: s.lower for n, s in shares}
    yield "upper_limit_seats", "With what it may borrow.", {n: s.upper for n, s in shares}
    yield "current_limit_seats", "As lent and borrowed now.", {n: level.limit for n, level in control.levels.items()}
    yield "demand_seats_average", "Over the last period.", {n: w.demand.average for n, w in wanted}
    yield "demand_seats_stdev", "Over the last period.", {n: w.demand.deviation for n, w in wanted}
    yield "demand_seats_high_watermark", "In the last period.", {n: w.demand.most for n, w in wanted}
    yield "demand_seats_smoothed", "Over the last periods.", {n: w.smoothed for n, w in wanted}
    yield "target_seats", "What it should have.", {n: w.target for n, w in wanted}
