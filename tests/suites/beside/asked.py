"""Requests to a program, and whether what came of them is what the page says."""

import http.client
import re
import time

PATIENCE = 10


class Wrong(Exception):
    """What was wanted, and what came."""


def check(case, program, port, pools):
    """Sends the request of the case, as often as it says."""
    for pool in pools.values():
        pool.forget()
    answers = [answer(case, port) for _ in range(case.times)]
    wanted = case.wanted(program)
    if wanted == "mostly app, some beta":
        return shares(pools)
    # A comma also stands in values.
    first, *more = re.split(r", (?=[<>] |copy )", wanted)
    response = answers[0]
    served = served_by(pools) if response.status == 200 else None
    if found := re.fullmatch(r"(app|beta) (/\S*)", first):
        expect("status", 200, response.status)
        expect("backend", (found[1], found[2]), served and (served[0], served[1].target))
    else:
        status, _, location = first.partition(" ")
        expect("status", int(status), response.status)
        if location:
            expect("location", location, without_port(response.headers.get("location"), port))
    for part in more:
        further(part, response, served, pools)


def further(part, response, served, pools):
    kind, _, said = part.partition(" ")
    if kind == "copy":
        name, target = said.split(" ")
        pools[name].wait(target, PATIENCE)
        return
    where = response.headers if kind == "<" else served[1].fields
    if said.startswith("no "):
        expect(said, None, where.get(said.removeprefix("no ")))
    else:
        name, _, value = said.partition(": ")
        expect(f"{kind} {name}", value, where.get(name))


def shares(pools):
    app, beta = (len(pools[name].seen) for name in ("app", "beta"))
    if not app > beta > 0:
        raise Wrong(f"app got {app} requests and beta {beta}")


def served_by(pools):
    """The backend that has answered. A copy may come to another one, before or after."""
    seen = [(name, pool.seen[0]) for name, pool in pools.items() if pool.seen]
    return seen[0] if seen else None


def without_port(location, port):
    """As it would be with the port of the page, which nobody writes."""
    return location and location.replace(f":{port}/", "/")


def expect(what, wanted, came):
    if wanted != came:
        raise Wrong(f"{what}: wanted {wanted!r}, came {came!r}")


def answer(case, port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        body = b"x" * case.body if case.body else None
        connection.request(case.method, case.target, body, {"host": "example.com", **case.fields})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def ready(port):
    """Until the program answers anything."""
    until = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"host": "example.com"})
            # Names of backends are looked up after the start.
            if connection.getresponse().status != 503 or time.monotonic() > until:
                return
        except OSError:
            if time.monotonic() > until:
                raise
        finally:
            connection.close()
        time.sleep(0.02)
