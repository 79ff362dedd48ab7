"""Fails as the field `x-do` says; tests/integration/conformance/built.rs holds what is then shown against what is here."""

import sys

from componentize_py_types import Err
from wit_world import exports


class Selection(exports.Selection):
    def select(self, request, pool, attempt):
        match request.header("x-do"):
            case b"raise":
                raise ValueError("the reason")
            case b"text as Err":
                raise Err("the reason")
            case b"another type":
                return "nope"
            case b"out of range":
                return -1
            case b"exit":
                sys.exit("the reason")
            case b"long":
                raise ValueError("the head " + "x" * 20_000 + " the tail")
            case b"many lines":
                raise ValueError("the head\n" + "more\n" * 1_000 + "the tail")
        return None
