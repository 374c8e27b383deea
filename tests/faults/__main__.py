"""`python -m tests.faults --kills 200`: the kubelet, or its Docker Engine, is killed (or hangs) while pods come and go."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from tests.faults.run import torment
from tests.faults.victims import VICTIMS
from tests.harness import upstream
from tests.harness.cluster import Cluster


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--victim", choices=VICTIMS, default="kubelet")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--log", type=Path, help="where to keep the kubelet's log, if there are findings")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    victim = VICTIMS[chosen.victim]
    with tempfile.TemporaryDirectory(prefix="sampan-faults-") as place, victim.ready() as villain:
        cluster = Cluster(Path(place), 1, upstream.kubectl_path())
        try:
            cluster.up("--no-example")
            with cluster.namespace("faults") as namespace:
                report = torment(
                    cluster, namespace, villain, kills=chosen.kills, size=chosen.pods, seed=chosen.seed,
                    starts_survive=victim.starts_survive, exits_survive=victim.exits_survive,
                )  # fmt: skip
                if report.findings and chosen.log:
                    shutil.copy(cluster.data / "logs" / "kubelet.log", chosen.log)
        finally:
            cluster.reset()
    print(
        f"seed {chosen.seed}: {report.kills} kills of {chosen.victim}, {report.pods} pods made, {report.deleted} "
        f"deleted, {report.containers} containers, {len(report.findings)} findings"
    )
    for finding in report.findings[:60]:
        print(finding)
    return 1 if report.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
