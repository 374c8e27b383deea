from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from api import meta
from api.meta import Obj
from controller import deployment_scaling as scaling

from .make import deployment, replica_set


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    rolling_update = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(3, "25%", "25%", (1, 0), id="default of 3: one more, none fewer"),
        pytest.param(10, "25%", "25%", (3, 2), id="surge up, unavailable down"),
        pytest.param(10, 0, 0, (0, 1), id="both zero would stand still"),
        pytest.param(1, "1%", "1%", (1, 0), id="tiny percentages"),
        pytest.param(2, 0, "10%", (0, 1), id="both resolve to zero"),
    ],
)
def test_fenceposts(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    assert scaling.fenceposts(deployment(replicas, **rolling(surge, unavailable))) == expected


def test_recreate_has_no_fenceposts() -> None:
    assert scaling.fenceposts(deployment(3, strategy={"type": "Recreate"})) == (0, 0)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param((0, 0), [(3, 3)], {"new": 1}, id="grow within the surge"),
        pytest.param((1, 0), [(3, 3)], {}, id="wait for the first new pod"),
        pytest.param((1, 1), [(3, 3)], {"old0": 2}, id="one available: one old may go"),
        pytest.param((1, 1), [(2, 2)], {"new": 2}, id="room again"),
        pytest.param((3, 3), [(1, 1)], {"old0": 0}, id="the last old one"),
        pytest.param((5, 5), [], {"new": 3}, id="too many new ones"),
        pytest.param((1, 0), [(3, 1)], {}, id="broken old pods keep their place while the minimum is not met"),
        pytest.param((1, 1), [(1, 0), (2, 2)], {"old0": 0}, id="broken old pods go first"),
    ],
)
def test_roll(new: tuple[int, int], old: list[tuple[int, int]], expected: dict[str, int]) -> None:
    olds = [replica_set(f"old{i}", *sizes, age=100 - i) for i, sizes in enumerate(old)]
    assert scaling.roll(deployment(3), replica_set("new", *new), olds) == expected


def test_a_lagging_status_does_not_count_pods_that_were_already_given_up() -> None:
    """The old set was cut from 5 to 3, its status still says 5; two of the second set never came up."""
    old = [replica_set("a", 3, 5, age=30), replica_set("b", 4, 0, age=20)]
    sizes = scaling.roll(deployment(10, **rolling(2, 2)), replica_set("new", 5, 5), old)
    assert sizes.get("a", 3) == 3


@pytest.mark.parametrize(
    ("replicas", "new", "old", "expected"),
    [
        pytest.param(5, None, [("a", 3, {})], {"a": 5}, id="the only one follows"),
        pytest.param(5, ("n", 5, {"desired": 5, "max": 7}), [("a", 2, {})], {"a": 0}, id="saturated new: empty the old"),
        pytest.param(
            20, ("n", 5, {"desired": 10, "max": 13}), [("a", 8, {"desired": 10, "max": 13})],
            {"n": 10, "a": 15}, id="proportional growth",
        ),
        pytest.param(
            5, ("n", 5, {"desired": 10, "max": 13}), [("a", 8, {"desired": 10, "max": 13})],
            {"n": 3, "a": 4}, id="proportional shrink",
        ),
        pytest.param(0, ("n", 5, {}), [("a", 8, {})], {"n": 0, "a": 0}, id="to zero"),
        pytest.param(3, ("n", 3, {}), [], {}, id="nothing to do"),
        pytest.param(3, None, [], {}, id="nothing there"),
        pytest.param(2, ("n", 0, {}), [("a", 0, {})], {"n": 2}, id="none active: the new one"),
    ],
)  # fmt: skip
def test_resize(
    replicas: int, new: tuple[str, int, Any] | None, old: list[tuple[str, int, Any]], expected: dict[str, int]
) -> None:
    def build(row: tuple[str, int, Any]) -> Obj:
        return replica_set(row[0], row[1], age=50, **row[2])

    sizes = scaling.resize(deployment(replicas), build(new) if new else None, [build(row) for row in old])
    assert sizes == expected


@pytest.mark.parametrize(
    ("annotated", "size", "expected"),
    [(3, 3, False), (2, 3, True), (None, 3, False), (2, 0, False)],
    ids=["as noted", "resized since", "never noted", "inactive sets do not count"],
)
def test_is_scaling(annotated: int | None, size: int, expected: bool) -> None:
    options = {} if annotated is None else {"desired": annotated}
    assert scaling.is_scaling(deployment(3), [replica_set("a", size, **options)]) is expected


counts = st.integers(0, 12)


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 12), surge=counts, unavailable=counts,
    old=st.lists(st.tuples(counts, counts), max_size=3), broken=st.booleans(), choices=st.randoms(),
)  # fmt: skip
def test_a_rollout_stays_between_its_fenceposts_and_converges(
    replicas: int, surge: int, unavailable: int, old: list[tuple[int, int]], broken: bool, choices: Any
) -> None:
    """Pods become available one at a time, in any order; whatever we scale keeps both promises."""
    wanted = deployment(replicas, **rolling(surge, unavailable))
    ceiling = scaling.max_total(wanted)
    floor = replicas - scaling.max_unavailable(wanted)
    sets = {"new": [0, 0]} | {f"old{i}": [n, min(n, a)] for i, (n, a) in enumerate(old)}
    for _ in range(300):
        before_total = sum(n for n, _ in sets.values())
        before_available = sum(a for _, a in sets.values())
        objects = {name: replica_set(name, n, a, age=len(name)) for name, (n, a) in sets.items()}
        new = objects.pop("new")
        sizes = scaling.roll(wanted, new, list(objects.values()))
        for name, size in sizes.items():
            sets[name][0] = size
            sets[name][1] = min(sets[name][1], size)  # the worst case: an available pod is taken
        total = sum(n for n, _ in sets.values())
        available = sum(a for _, a in sets.values())
        assert total <= max(ceiling, before_total)
        if sizes.get("new", 0) > 0 and total > before_total:
            assert total <= ceiling
        if available < before_available:
            assert available >= floor
        waiting = [name for name, (n, a) in sets.items() if a < n and (name == "new" or not broken)]
        if waiting:
            sets[choices.choice(waiting)][1] += 1
        elif not sizes:
            break
    assert sets["new"] == [replicas, replicas]
    assert all(n == 0 for name, (n, _) in sets.items() if name != "new")


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(0, 30), before=st.integers(1, 30),
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5),
)  # fmt: skip
def test_resizing_fills_exactly_what_is_allowed(replicas: int, before: int, sizes: list[int]) -> None:
    assume(before != replicas)
    wanted = deployment(replicas, **rolling(2, 1))
    sets = [replica_set(f"rs{i}", n, age=i, desired=before, max=before + 2) for i, n in enumerate(sizes)]
    new, old = sets[0], sets[1:]
    result = {meta.name(rs): scaling.size(rs) for rs in sets} | scaling.resize(wanted, new, old)
    assert all(n >= 0 for n in result.values())
    assert sum(result.values()) == (scaling.max_total(wanted) if replicas else 0)
