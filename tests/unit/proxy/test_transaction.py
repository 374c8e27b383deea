"""What is sent to iptables-restore."""

from __future__ import annotations

from proxy.rules import Network, Tables, tables
from proxy.transaction import intact, parse, removal, rewrite, update

DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
COMMIT
"""
EMPTY = tables([], Network("10.244.0.0/16"))


def chains(**nat: list[str]) -> Tables:
    return Tables(nat={name.replace("_", "-"): rules for name, rules in nat.items()})


def kernel(made: Tables) -> str:
    """What iptables-save prints once `made` is written, with the jumps first."""
    lines = []
    jumps = {"nat": ["PREROUTING SAMPAN-SERVICES", "OUTPUT SAMPAN-SERVICES", "POSTROUTING SAMPAN-POSTROUTING"],
             "filter": ["INPUT SAMPAN-INPUT", "FORWARD SAMPAN-FORWARD", "OUTPUT SAMPAN-OUTPUT"]}  # fmt: skip
    for table, entries in jumps.items():
        lines.append(f"*{table}")
        lines += [f":{name} - [0:0]" for name in made.chains(table)]
        lines += ["-A {} -j {}".format(*entry.split()) for entry in entries]
        lines += [f"-A {name} {rule}" for name, rules in made.chains(table).items() for rule in rules]
    return "\n".join([*lines, "COMMIT"])


def test_only_what_changed_is_named() -> None:
    old = chains(SAMPAN_SERVICES=["a"], SAMPAN_SVC_1=["b"], SAMPAN_SVC_2=["c"])
    new = chains(SAMPAN_SERVICES=["a"], SAMPAN_SVC_1=["x"], SAMPAN_SVC_3=["d"])
    assert update(new, old) == (
        "*nat\n:SAMPAN-SVC-1 - [0:0]\n:SAMPAN-SVC-3 - [0:0]\n:SAMPAN-SVC-2 - [0:0]\n"
        "-A SAMPAN-SVC-1 x\n-A SAMPAN-SVC-3 d\n-X SAMPAN-SVC-2\nCOMMIT\n"
    )
    assert update(new, new) == ""


def test_the_first_write_puts_jumps_first() -> None:
    text = rewrite(EMPTY, parse(DOCKER))
    assert "-I FORWARD 1 -j SAMPAN-FORWARD" in text
    assert "-D FORWARD" not in text
    assert ":DOCKER" not in text


def test_a_displaced_jump_is_put_back() -> None:
    there = kernel(EMPTY)
    assert intact(EMPTY, parse(there))
    displaced = there.replace("-A FORWARD -j SAMPAN-FORWARD", "-A FORWARD -j DOCKER-USER\n-A FORWARD -j SAMPAN-FORWARD")
    assert not intact(EMPTY, parse(displaced))
    text = rewrite(EMPTY, parse(displaced))
    assert "-D FORWARD -j SAMPAN-FORWARD\n-I FORWARD 1 -j SAMPAN-FORWARD\n" in text
    assert "PREROUTING" not in text


def test_a_lost_or_added_rule_is_noticed() -> None:
    there = kernel(EMPTY)
    assert not intact(EMPTY, parse(there.replace("-A SAMPAN-MARK-MASQ -j MARK --or-mark 0x4000\n", "")))
    assert not intact(EMPTY, parse(there + "\n-A SAMPAN-FORWARD -j DROP"))
    assert not intact(EMPTY, parse(DOCKER))


def test_a_restart_removes_what_is_stale() -> None:
    text = rewrite(EMPTY, parse(kernel(EMPTY) + "\n*nat\n:SAMPAN-SVC-OLD - [0:0]\n:SAMPAN-MACHINES - [0:0]\n"))
    assert "-X SAMPAN-SVC-OLD\n" in text
    assert "SAMPAN-MACHINES" not in text


def test_removal_is_exact() -> None:
    text = removal(parse(kernel(EMPTY)))
    removed = [line for line in text.splitlines() if line[:2] in ("-D", "-X")]
    assert len([line for line in removed if line.startswith("-D")]) == 6
    assert {line.split()[1] for line in removed if line.startswith("-X")} == {*EMPTY.nat, *EMPTY.filter}
    assert removal(parse(DOCKER)) == ""
