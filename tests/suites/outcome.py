"""What a suite gives, and what is missing to run it."""

import importlib.util
import shutil
from dataclasses import dataclass, field
from typing import Callable


@dataclass(frozen=True)
class Result:
    """One case of a suite. `why` is empty if it passed, else what was wanted and what came."""

    case: str
    why: str = ""
    # Further lines: what was sent and received.
    details: tuple = ()
    title: str = ""


@dataclass(frozen=True)
class Suite:
    """`run(context)` gives the results. `family` is its table in exceptions.toml."""

    name: str
    family: str
    about: str
    run: Callable
    modules: dict = field(default_factory=dict)
    commands: dict = field(default_factory=dict)

    def missing(self):
        """What has to be installed first, each with how."""
        modules = [how for name, how in self.modules.items() if not has_module(name)]
        commands = [how for name, how in self.commands.items() if shutil.which(name) is None]
        return list(dict.fromkeys([*commands, *modules]))


class Unavailable(Exception):
    """A part of a suite that can't be run here, and why."""


def has_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
