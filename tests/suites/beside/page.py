"""docs/side-by-side.md, read: the frame, and each group of blocks with its requests."""

import re
from dataclasses import dataclass, field

from peers import REPOSITORY

PAGE = REPOSITORY / "docs/side-by-side.md"
PROGRAMS = {"nginx": "nginx", "caddyfile": "caddy", "yaml": "envoy", "toml": "waypost"}
PLACE = "# THE BLOCK"


class Unreadable(Exception):
    """What the page has that this can't read."""


@dataclass(frozen=True)
class Case:
    """One line: a request, sent so often, and what comes of it, by program or by `""` for the rest."""

    line: str
    method: str
    target: str
    times: int = 1
    fields: dict = field(default_factory=dict)
    body: int = 0
    outcomes: dict = field(default_factory=dict)

    def wanted(self, program):
        return self.outcomes.get(program, self.outcomes[""])


@dataclass(frozen=True)
class Group:
    """A section: a configuration for each program that can do it, and the requests."""

    title: str
    configurations: dict
    cases: list


def groups():
    sections = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    titled = list(zip(sections[::2], sections[1::2]))
    frames = dict(blocks(titled[0][1]))
    found = []
    for title, text in titled[1:]:
        parts = dict(blocks(text))
        lines = parts.pop("text").splitlines()
        configurations = {PROGRAMS[kind]: framed(frames[kind], block) for kind, block in parts.items()}
        found.append(Group(title, configurations, [case(line) for line in lines]))
    return found


def blocks(text):
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def framed(frame, block):
    """The frame with the block in its place, as far indented as that is."""
    if frame.count(PLACE) != 1:
        raise Unreadable(f"a frame needs `{PLACE}` once")
    before, after = frame.split(PLACE)
    indent = before.rpartition("\n")[2]
    # Texts of several lines in the block are kept as they are, but for YAML, which needs all of them further in.
    lines = block.rstrip("\n").splitlines()
    return before + "\n".join([lines[0], *(f"{indent}{line}" if line else "" for line in lines[1:])]) + after


def case(line):
    asked, wanted, *others = re.split(r"\s{2,}", line.strip())
    first, *more = asked.split(", ")
    found = re.fullmatch(r"(?:(\d+) times )?([A-Z]+) (/\S*)", first)
    if not found:
        raise Unreadable(f"{first!r} is no request")
    fields, body = {}, 0
    for part in more:
        if size := re.fullmatch(r"body of (\d+) bytes", part):
            body = int(size[1])
        else:
            name, _, value = part.partition(": ")
            fields[name] = value
    outcomes = {"": wanted}
    for other in others:
        program, _, outcome = other.partition(": ")
        if program not in PROGRAMS.values():
            raise Unreadable(f"{program!r} is no program")
        outcomes[program] = outcome
    return Case(line, found[2], found[3], int(found[1] or 1), fields, body, outcomes)
