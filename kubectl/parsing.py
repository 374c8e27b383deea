"""A verb's flags in upstream's spelling, rewritten to what the argument parser reads. Pure.

pflag takes `--wait=false`, `-o=json`, `-lapp=web`; the parser behind typer takes `--no-wait`, `-o json`. Unknown
and incomplete flags are told in upstream's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubectl.failures import CliError


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a verb: its spellings, and for a switch how to turn it off."""

    names: tuple[str, ...]
    switch: bool = False
    off: str = ""


def flags_of(params: list[Any]) -> list[Flag]:
    """From the parameters of a command object."""
    return [
        Flag(tuple(p.opts), bool(p.is_flag), p.secondary_opts[0] if p.secondary_opts else "")
        for p in params
        if getattr(p, "param_type_name", "") == "option"
    ]


def normalise(arguments: list[str], flags: list[Flag], usage: str) -> list[str]:
    """`usage` is the command as typed (`kubectl get`), for messages. CliError when a flag is not known."""
    by_name = {name: flag for flag in flags for name in flag.names}
    out: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument == "--":
            return [*out, *arguments[position - 1 :]]
        if argument.startswith("--"):
            position = _long(argument, arguments, position, by_name, usage, out)
        elif argument.startswith("-") and argument != "-":
            position = _short(argument, arguments, position, by_name, usage, out)
        else:
            out.append(argument)
    return out


def _long(argument: str, rest: list[str], position: int, by_name: dict[str, Flag], usage: str, out: list[str]) -> int:
    name, equals, value = argument.partition("=")
    if name == "--help":
        out.append(name)
        return position
    flag = by_name.get(name)
    if flag is None:
        raise CliError(f"unknown flag: {name}\nSee '{usage} --help' for usage.")
    if flag.switch:
        out += _switch(flag, name, value if equals else "true")
        return position
    if not equals:
        if position == len(rest):
            raise CliError(f"flag needs an argument: {name}\nSee '{usage} --help' for usage.")
        value = rest[position]
        position += 1
    out.append(f"{name}={value}")
    return position


def _switch(flag: Flag, name: str, value: str) -> list[str]:
    if value.lower() in ("true", "t", "1"):
        return [name]
    if value.lower() in ("false", "f", "0"):
        return [flag.off] if flag.off else []
    raise CliError(
        f'invalid argument "{value}" for "{name}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
    )


def _short(argument: str, rest: list[str], position: int, by_name: dict[str, Flag], usage: str, out: list[str]) -> int:
    """A cluster such as `-it`, `-Rf x`, `-oyaml` or `-o=yaml`."""
    at = 1
    while at < len(argument):
        name = f"-{argument[at]}"
        at += 1
        if name == "-h":
            out.append("--help")
            continue
        flag = by_name.get(name)
        if flag is None:
            raise CliError(f"unknown shorthand flag: '{name[1]}' in {argument}\nSee '{usage} --help' for usage.")
        if flag.switch:
            if argument[at : at + 1] == "=":
                out += _switch(flag, name, argument[at + 1 :])
                return position
            out.append(name)
            continue
        value = argument[at:].removeprefix("=")
        if at == len(argument):
            if position == len(rest):
                raise CliError(f"flag needs an argument: '{name[1]}' in {argument}\nSee '{usage} --help' for usage.")
            value = rest[position]
            position += 1
        out += [name, value] if not value.startswith("-") else [f"{_longest(flag)}={value}"]
        return position
    return position


def _longest(flag: Flag) -> str:
    return max(flag.names, key=len)
