"""A header field names the backend, and fields are set and removed on the way in and out."""

from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import attempts, backend_facts, counters, log, random

import settings as given
from rendezvous import hash64

settings: given.Settings
routed = hashed = unmatched = unusable = 0


@dataclass
class Pool:
    """The backends of a pool, ready to be looked up."""

    # For each value with a route the backends that it names.
    targets: dict[bytes, list[int]]
    # One number for each backend, from its address alone, so that it stays the same when the list changes.
    seeds: list[int]


pools: dict[int, Pool] = {}


class Configuration(exports.Configuration):
    def configure(self, settings_text):
        global settings, routed, hashed, unmatched, unusable
        try:
            settings = given.parse(settings_text)
        except given.Refused as refused:
            # `Err` raised in a hook that returns a result is its error; any other exception is a trap.
            raise Err(str(refused))
        routed, hashed = counters.define("routed"), counters.define("hashed")
        unmatched, unusable = counters.define("unmatched"), counters.define("unusable")


class Topology(exports.Topology):
    def backends_changed(self, pool, generation, backends):
        targets = {}
        for value, target in settings.routes.items():
            targets[value] = [index for index, backend in enumerate(backends) if is_named(backend, target)]
            if not targets[value]:
                route = f"routes.{value.decode()}: pool {pool.name}"
                log.write(log.Level.WARN, f"{route} has no backend with the address or the name {target}")
        pools[pool.id] = Pool(targets, [hash64(0, backend.address.encode()) for backend in backends])


def is_named(backend, target):
    # The first label of this name counts.
    name = next((value for key, value in backend.labels if key == "name"), None)
    return target in (backend.address, name)


class Selection(exports.Selection):
    def select(self, request, pool, attempt):
        value = request.header(settings.header)
        known = pools.get(pool)
        if value is None or known is None:
            return count(unmatched)
        # The first attempt is nearly every request: it has nothing to ask about.
        failed = [past.backend for past in attempts.failed()] if attempt > 1 else ()
        named = known.targets.get(value)
        if named is not None:
            usable = [backend for backend in named if backend not in failed and backend_facts.healthy(backend)]
            if not usable:
                return count(unusable)
            return count(routed, usable[0] if len(usable) == 1 else usable[random.below(len(usable))])
        if not settings.hashes:
            return count(unmatched)
        backend = own(known.seeds, value, failed)
        return count(unusable if backend is None else hashed, backend)


def count(counter, choice=None):
    """Counts a choice; `None` is the contract's `none`."""
    counters.add(counter, 1)
    return choice


def own(seeds, value, failed):
    """Rendezvous hashing: when a backend goes, only its own values move."""
    scores = sorted(((hash64(seed, value), -index) for index, seed in enumerate(seeds)), reverse=True)
    # The host is asked only about those that would win.
    ranked = (-index for _, index in scores)
    return next((index for index in ranked if index not in failed and backend_facts.healthy(index)), None)


class RequestHeaders(exports.RequestHeaders):
    def edit_request(self, request, headers):
        edit(settings.request, headers)


class ResponseHeaders(exports.ResponseHeaders):
    def edit_response(self, request, status, backend, headers):
        edit(settings.response, headers)


def edit(edits, headers):
    for name in edits.remove:
        tell(name, headers.remove, name)
    for name, value in edits.set:
        tell(name, headers.set, name, value)
    for name, value in edits.append:
        tell(name, headers.append, name, value)


def tell(name, change, *arguments):
    try:
        change(*arguments)
    except Err as error:
        # The settings were checked, so this is about the message: it names the field in `connection`, or there is too much.
        reason = error.value.name.lower().replace("_", "-")
        log.write(log.Level.WARN, f"{name} was not written: {reason}")
