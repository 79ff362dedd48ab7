"""The `conformance` policy in Python; `../SPEC.md` says what it does."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.range import ByteRange
from wit_world.imports import attempts, backend_facts, client_certificate, clock, connection, counters, log, random, store
from wit_world.imports.types import Response

greeting = ""
pick = None
calls = 0
# Pool id to what `topology` tells about it.
pools = {}
# Pool id to what the operator calls it.
names = {}


class Configuration(exports.Configuration):
    def configure(self, settings):
        global greeting, pick
        try:
            given = json.loads(settings)
        except ValueError as error:
            raise Err(f"settings: not JSON: {error}")
        if not isinstance(given, dict):
            raise Err("settings: has to be a table")
        for key, value in given.items():
            if key not in ("greeting", "pick", "refuse"):
                raise Err(f"{key}: unknown key")
            if key != "pick" and not isinstance(value, str):
                raise Err(f"{key}: has to be a string")
        pick = given.get("pick")
        # In Python `True` is a number.
        if pick is not None and (type(pick) is not int or not 0 <= pick < 1 << 32):
            raise Err("pick: has to be a whole number")
        if "refuse" in given:
            raise Err(given["refuse"])
        greeting = given.get("greeting", "")
        count("configured", 1)


class Topology(exports.Topology):
    def backends_changed(self, pool, generation, backends):
        told = [f"{pool.name} {generation}"]
        for backend in backends:
            labels = "".join(f"/{key}={value}" for key, value in backend.labels)
            told.append(f"{backend.address}/{backend.weight}{labels}")
        pools[pool.id] = " ".join(told)
        names[pool.id] = pool.name


class Range(exports.Range):
    def check(self, request):
        answer = refused = None
        for verb, rest in commands(request, "range"):
            if verb == "ignore":
                answer = []
            elif verb == "ranges":
                answer = [byte_range(one) for one in text(rest).split(",")]
            else:
                refused = anywhere("range", verb, rest) or refused
        return conclude(refused, answer)


def byte_range(one):
    first, last = one.split("-")
    return ByteRange(int(first) if first else None, int(last) if last else None)


class Selection(exports.Selection):
    def select(self, request, pool, attempt):
        choice, refused = pick, None
        for verb, rest in commands(request, "select"):
            if verb == "pick":
                choice = int(rest)
            elif verb == "none":
                choice = None
            elif verb == "picks":
                wanted = [int(one) for one in rest.split(b",")]
                choice = wanted[attempt - 1] if attempt <= len(wanted) else None
            elif verb == "tell":
                if int(rest) == attempt:
                    refused = Response(200, [], tell(attempt).encode())
            else:
                refused = anywhere("select", verb, rest) or refused
        return conclude(refused, choice)


def tell(attempt):
    return " ".join([str(attempt), *failed()])


def failed():
    return [f"{past.backend}:{spell(past.failure)}" for past in attempts.failed()]


class Completion(exports.Completion):
    def completed(self, request, outcome):
        global calls
        before = calls
        for verb, rest in commands(request, "completed"):
            if verb == "tell":
                log.write(log.Level.INFO, heard(outcome))
            else:
                anywhere("completed", verb, rest)  # There is nothing to refuse any more.
        calls = before  # It is none of those that are counted.


def heard(outcome):
    parts = told(
        outcome.pool,
        outcome.backend,
        outcome.status,
        None if outcome.failure is None else spell(outcome.failure),
        outcome.attempts,
        outcome.first_byte_microseconds,
        outcome.latency_microseconds,
        outcome.duration_microseconds,
        outcome.request_bytes,
        outcome.response_bytes,
    )
    return " ".join(["heard", parts, *failed()])


class RequestHeaders(exports.RequestHeaders):
    def edit_request(self, request, headers):
        edit("request", request, headers, "none")


class ResponseHeaders(exports.ResponseHeaders):
    def edit_response(self, request, status, backend, headers):
        edit("response", request, headers, f"{status} {backend}")


class LocalResponse(exports.LocalResponse):
    def edit_local_response(self, request, status, source, headers):
        try:
            edit("local", request, headers, f"{status} {spell(source)}")
        except Err:
            pass  # There is nothing to refuse.


class Routing(exports.Routing):
    def route(self, request):
        return choose(request, "route", "")


class Destination(exports.Destination):
    def decide(self, request, port, user):
        return choose(request, "decide", f"{request.host()} {port} {told(user)} ")


def choose(request, hook, before):
    """The index of a pool; `before` is what is told before the pools."""
    choice = refused = None
    for verb, rest in commands(request, hook):
        if verb == "pool":
            known = called(request)
            choice = known.index(text(rest)) if text(rest) in known else None
        elif verb == "index":
            choice = int(rest)
        elif verb == "none":
            choice = None
        elif verb == "tell":
            own = names.get(request.pool(), request.pool())
            refused = Response(403, [], f"{before}{own} {','.join(called(request)) or 'none'}".encode())
        else:
            refused = anywhere(hook, verb, rest) or refused
    return conclude(refused, choice)


def called(request):
    """The names of the request's pools."""
    return [names.get(pool, str(pool)) for pool in request.pools()]


class RequestTarget(exports.RequestTarget):
    def edit_target(self, request, target):
        outcomes, refused = [], None
        edits = {
            "path": target.set_path,
            "query": target.set_query,
            "no-query": lambda _: target.set_query(None),
            "host": target.set_host,
        }
        for verb, rest in commands(request, "target"):
            if verb in edits:
                try:
                    edits[verb](text(rest))
                    outcomes.append("ok")
                except Err as error:
                    outcomes.append(spell(error.value))
            elif verb == "tell":
                query = target.query()
                asked = "none" if query is None else f"?{query}"
                refused = Response(200, [], " ".join([target.path(), asked, target.host(), *outcomes]).encode())
            else:
                refused = anywhere("target", verb, rest) or refused
        conclude(refused, None)


def edit(hook, request, headers, answer):
    refused = None
    for verb, rest in commands(request, hook):
        if verb == "many":
            many(int(rest), headers)
            continue
        did = edits(verb, rest, headers) or reads(verb, rest, request, headers, answer) or stores(verb, rest)
        if did is None:
            refused = anywhere(hook, verb, rest) or refused
            continue
        try:
            headers.append("x-did", did[0])
        except Err:
            pass  # A refused edit shows as a field that is missing.
    conclude(refused, None)


def conclude(refused, answer):
    if refused:
        raise Err(refused)
    return answer


def commands(request, hook):
    """The verbs for this hook, each with the bytes after it."""
    global calls
    calls += 1
    lines = [line.split(b" ", 2) for line in request.header_values("x-do")]
    return [(text(verb), b"".join(rest)) for own, verb, *rest in lines if own == hook.encode()]


def anywhere(hook, verb, rest):
    """Does a command of any hook; a refusal is returned."""
    if verb == "trap":
        raise RuntimeError("told to")
    elif verb == "loop":
        while True:
            pass
    elif verb == "exhaust":
        taken = []
        while True:
            taken.append(b"\x01" * (1 << 20))
    elif verb == "refuse":
        fields = [("x-refused", hook.encode()), ("set-cookie", b"a=1"), ("set-cookie", b"b=2"), ("x-bytes", b"\xff\x80")]
        return Response(int(rest), fields, f"refused by {hook}".encode())
    elif verb == "count":
        name, amount = rest.split(b" ")
        count(text(name), int(amount))
    elif verb == "log":
        level, message = rest.split(b" ", 1)
        log.write(log.Level[text(level).upper()], text(message))
    else:
        raise RuntimeError(f"{hook} has no command {verb}")


def many(wanted, headers):
    for at in range(wanted):
        try:
            headers.append("x-many", str(at).encode())
        except Err as error:
            return count(error.value.name.lower(), 1)


def edits(verb, rest, headers):
    if verb not in ("set", "append", "remove"):
        return None
    name, value = (rest.split(b" ", 1) + [b""])[:2]
    try:
        if verb == "remove":
            headers.remove(text(name))
        else:
            getattr(headers, verb)(text(name), value)
    except Err as error:
        return (spell(error.value).encode(),)
    return (b"ok",)


def reads(verb, rest, request, headers, answer):
    name = rest.decode(errors="surrogateescape")
    known = {
        "first": lambda: optional(headers.first(name)),
        "values": lambda: every(headers.values(name)),
        "names": lambda: ",".join(headers.names()),
        "request-first": lambda: optional(request.header(name)),
        "request-values": lambda: every(request.header_values(name)),
        "request-names": lambda: ",".join(request.header_names()),
        "echo": lambda: echo(request),
        "answer": lambda: answer,
        "greeting": lambda: greeting.encode().hex(),
        "topology": lambda: pools[request.pool()],
        "facts": lambda: facts(int(rest)),
        "state": lambda: f"{spell(backend_facts.state(int(rest)))} {backend_facts.in_flight_of_all(int(rest))}",
        "queues": lambda: f"{backend_facts.queued(int(rest))} {backend_facts.queued_in_pool()}",
        "time-left": lambda: told(attempts.milliseconds_left()),
        "connection": connected,
        "certificate": certificate,
        "random": lambda: f"{random.below(int(rest))} {random.bits()}",
        "clock": lambda: f"{clock.monotonic_nanoseconds()} {clock.unix_milliseconds()}",
        "calls": lambda: str(calls),
        "define": lambda: define(name),
    }
    return (known[verb]().encode(),) if verb in known else None


def stores(verb, rest):
    known = {
        "store-get": lambda key: optional(store.get(text(key))),
        "store-set": lambda key, ttl, value: store.set(text(key), value, int(ttl)) or "ok",
        "store-remove": lambda key: spell(store.remove(text(key))),
        "store-swap": lambda key, ttl, before, value: spell(
            store.compare_and_set(text(key), None if before == b"-" else before, value, int(ttl))
        ),
        "store-add": lambda key, ttl, by: str(store.increment(text(key), int(by), int(ttl))),
        "store-sub": lambda key, ttl, by: str(store.decrement(text(key), int(by), int(ttl))),
        "store-counter": lambda key: str(store.counter(text(key))).lower(),
    }
    if verb not in known:
        return None
    arguments = known[verb].__code__.co_argcount
    try:
        return (known[verb](*rest.split(b" ", arguments - 1)).encode(),)
    except Err as error:
        return (spell(error.value).encode(),)


def count(name, amount):
    counters.add(counters.define(name), amount)


def define(name):
    try:
        counters.define(name)
    except Err as error:
        return error.value
    return "ok"


def echo(request):
    query = request.query()
    asked = "none" if query is None else f"?{query}"
    return " ".join(
        [request.method(), request.scheme(), request.host(), request.path(), asked, request.client_address()]
    )


def facts(backend):
    numbers = backend_facts.in_flight(backend), backend_facts.latency_microseconds(backend)
    healthy = spell(backend_facts.healthy(backend))
    return f"{numbers[0]} {numbers[1]} {healthy} {backend_facts.consecutive_failures(backend)}"


def connected():
    tls = connection.tls()
    return told(
        spell(connection.protocol()),
        None if tls is None else spell(tls),
        connection.cipher_suite(),
        connection.server_name(),
        connection.application_protocol(),
    )


def certificate():
    names = [f"{type(name).__name__.split('_')[-1].lower()}:{name.value}" for name in client_certificate.names()]
    return told(
        client_certificate.serial_number(),
        client_certificate.fingerprint(),
        client_certificate.expires_milliseconds(),
        ",".join(names) or None,
        client_certificate.subject(),
    )


def told(*parts):
    return " ".join("none" if part is None else str(part) for part in parts)


def optional(value):
    return "none" if value is None else value.hex()


def every(values):
    return ",".join(value.hex() for value in values) if values else "none"


def spell(value):
    """A case of an enum, or a truth value, as the contract spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.name.lower().replace("_", "-")


def text(value):
    return value.decode()
