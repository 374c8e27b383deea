"""The text that takes the kernel from what it holds to what it should hold, in one step per table. Pure.

`iptables-restore --noflush` applies a table's section atomically: no packet sees half of it. Declaring a chain
empties it in the same step, so a changed chain is declared and rewritten, an unchanged one is not named at all,
and a stale one is declared (its rules may point to other stale chains) and removed after.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.rules import JUMPS, Tables, is_ours


@dataclass(slots=True)
class Observed:
    """One table as iptables-save prints it: chain → rules, without "-A chain "."""

    chains: dict[str, list[str]] = field(default_factory=dict)


def parse(saved: str) -> dict[str, Observed]:
    """iptables-save output, by table."""
    found: dict[str, Observed] = {}
    current = Observed()
    for line in saved.splitlines():
        if line.startswith("*"):
            current = found.setdefault(line[1:].strip(), Observed())
        elif line.startswith(":"):
            current.chains.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            current.chains.setdefault(chain, []).append(rule)
    return found


def update(wanted: Tables, written: Tables) -> str:
    """The difference to what we wrote last; empty when there is none. Jumps are `repair`'s business."""
    sections = []
    for table in JUMPS:
        old, new = written.chains(table), wanted.chains(table)
        changed = [chain for chain, rules in new.items() if old.get(chain) != rules]
        stale = [chain for chain in old if chain not in new]
        sections.append(_section(table, wanted, changed, stale, []))
    return "".join(sections)


def rewrite(wanted: Tables, observed: dict[str, Observed]) -> str:
    """Everything of ours anew, whatever the kernel holds of it; jumps in first place, exactly once each."""
    sections = []
    for table in JUMPS:
        present = observed.get(table, Observed())
        stale = [chain for chain in present.chains if is_ours(chain) and chain not in wanted.chains(table)]
        sections.append(_section(table, wanted, list(wanted.chains(table)), stale, _jumps(table, present)))
    return "".join(sections)


def intact(written: Tables, observed: dict[str, Observed]) -> bool:
    """Whether our chains are there with as many rules as we wrote, and our jumps stand first."""
    for table in JUMPS:
        present = observed.get(table, Observed())
        if _jumps(table, present):
            return False
        ours = {chain: len(rules) for chain, rules in present.chains.items() if is_ours(chain)}
        if ours != {chain: len(rules) for chain, rules in written.chains(table).items()}:
            return False
    return True


def removal(observed: dict[str, Observed]) -> str:
    """Every jump and chain of ours goes, nothing else is touched; empty when there is nothing of ours."""
    sections = []
    for table, jumps in JUMPS.items():
        present = observed.get(table, Observed())
        stale = [chain for chain in present.chains if is_ours(chain)]
        lines = [
            f"-D {chain} -j {target}"
            for chain, target in jumps.items()
            for rule in present.chains.get(chain, ())
            if rule == f"-j {target}"
        ]
        sections.append(_section(table, Tables(), [], stale, lines))
    return "".join(sections)


def _jumps(table: str, present: Observed) -> list[str]:
    """What puts each jump first and nowhere else; nothing for those that are right."""
    lines: list[str] = []
    for chain, target in JUMPS[table].items():
        rules = present.chains.get(chain, [])
        places = [index for index, rule in enumerate(rules) if rule == f"-j {target}"]
        if places != [0]:
            lines += [f"-D {chain} -j {target}"] * len(places) + [f"-I {chain} 1 -j {target}"]
    return lines


def _section(table: str, wanted: Tables, changed: list[str], stale: list[str], jumps: list[str]) -> str:
    if not (changed or stale or jumps):
        return ""
    chains = wanted.chains(table)
    lines = [f"*{table}"]
    lines += [f":{chain} - [0:0]" for chain in (*changed, *stale)]
    lines += jumps
    lines += [f"-A {chain} {rule}" for chain in changed for rule in chains[chain]]
    lines += [f"-X {chain}" for chain in stale]
    return "\n".join([*lines, "COMMIT", ""])
