"""Requests with a field such as `x-canary: yes` go to the backends with the label `track` = `canary`, all others to the rest."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import attempts, backend_facts, counters, random

header = ""
taken = 0
# By pool: the indices of its backends.
pools: dict[int, dict[str, list[int]]] = {}


class Configuration(exports.Configuration):
    def configure(self, settings):
        global header, taken
        given = json.loads(settings)
        # `Err` is the error of the hook's result: the operator reads it, and nothing that runs changes.
        for key in given.keys() - {"header"}:
            raise Err(f"{key}: unknown key")
        if not isinstance(given.get("header"), str):
            raise Err("header: has to be the name of a field")
        header, taken = given["header"], counters.define("canary")


class Topology(exports.Topology):
    def backends_changed(self, pool, generation, backends):
        tracks = {"canary": [], "stable": []}
        for index, backend in enumerate(backends):
            tracks["canary" if ("track", "canary") in backend.labels else "stable"].append(index)
        pools[pool.id] = tracks


class Selection(exports.Selection):
    def select(self, request, pool, attempt):
        canary = request.header(header) == b"yes"
        # The first attempt is nearly every request: it has nothing to ask about.
        failed = [past.backend for past in attempts.failed()] if attempt > 1 else ()
        track = pools.get(pool, {}).get("canary" if canary else "stable", ())
        usable = [backend for backend in track if backend not in failed and backend_facts.healthy(backend)]
        # `None` is the contract's `none`: the proxy chooses.
        if not usable:
            return None
        if canary:
            counters.add(taken, 1)
        return usable[random.below(len(usable))]
