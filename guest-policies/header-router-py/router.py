"""A header field names the backend, and fields are set and removed on the way in and out."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import attempts, backend_facts, counters, log, random

KNOWN = ["header", "routes", "request", "response"]

settings: dict = {}
routed = unmatched = 0
# Pool id to its backends: each a list of the names that a route may call it by.
pools: dict[int, list[list[str]]] = {}


class Configuration(exports.Configuration):
    def configure(self, text):
        global settings, routed, unmatched
        try:
            given = json.loads(text)
        except ValueError as error:
            # Any other exception than `Err` is a trap.
            raise Err(f"settings: not JSON: {error}")
        unknown = [key for key in given if key not in KNOWN]
        # `Err` raised in a hook that returns a result is its error.
        if unknown:
            raise Err(f"{unknown[0]}: unknown key; there are {', '.join(KNOWN)}")
        if not isinstance(given.get("header"), str):
            raise Err("header: missing; name the field that chooses the backend")
        settings = {"routes": {}, "request": {}, "response": {}} | given
        routed, unmatched = counters.define("routed"), counters.define("unmatched")


class Topology(exports.Topology):
    def backends_changed(self, pool, generation, backends):
        pools[pool.id] = [
            [backend.address] + [value for key, value in backend.labels if key == "name"] for backend in backends
        ]
        log.write(log.Level.INFO, f"pool {pool.name}: {len(backends)} backends, generation {generation}")


class Selection(exports.Selection):
    def select(self, request, pool, attempt):
        value = request.header(settings["header"])
        target = value is not None and settings["routes"].get(value.decode(errors="replace"))
        # Only a request that is tried again has anything to ask about.
        failed = [past.backend for past in attempts.failed()] if attempt > 1 else []
        named = [
            index
            for index, names in enumerate(pools.get(pool, []))
            if target in names and index not in failed and backend_facts.healthy(index)
        ]
        counters.add(routed if named else unmatched, 1)
        # `None` is the contract's `none`.
        return named[random.below(len(named))] if named else None


class RequestHeaders(exports.RequestHeaders):
    def edit_request(self, request, headers):
        edit(settings["request"], headers)


class ResponseHeaders(exports.ResponseHeaders):
    def edit_response(self, request, status, backend, headers):
        edit(settings["response"], headers)


def edit(edits, headers):
    for name in edits.get("remove", []):
        tell(name, headers.remove, name)
    for name, value in edits.get("set", {}).items():
        tell(name, headers.set, name, value.encode())
    for name, value in edits.get("append", {}).items():
        tell(name, headers.append, name, value.encode())


def tell(name, change, *arguments):
    try:
        change(*arguments)
    except Err as error:
        log.write(log.Level.WARN, f"{name} was not written: {error.value}")
