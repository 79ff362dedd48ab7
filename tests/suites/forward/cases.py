"""The cases of each client: a name, and what fails if the proxy does not do what it should."""

from functools import partial

from forward import clients
from forward.chromium import chromium, controlled
from forward.servers import LARGE, PASSWORD, SAID


# A line of the log is there when its request, or its tunnel, has ended.
PATIENCE = 10


class Wrong(Exception):
    """Something else came than what should."""


def expect(what, got, wanted):
    if got != wanted:
        raise Wrong(f"{what}: {got!r}, not {wanted!r}")


def expect_page(answer, scheme, path="/page"):
    name = "secure" if scheme == "https" else "plain"
    wanted = SAID.format(name=name, path=path).encode()
    if wanted not in answer.body:
        raise Wrong(f"got {answer.refused or answer.body[:200]!r}, not the page of {name}")


def through(client, proxy, scheme, world):
    before = len(world.open.logged())
    expect_page(client(world, world.open.address(proxy), world.url(scheme)), scheme)
    wanted = "CONNECT" if scheme == "https" else "GET"
    line = world.open.logs(wanted, before, PATIENCE)
    if line is None:
        raise Wrong(f"the proxy has no line of a {wanted}: {world.open.logged()[before:]}")
    return line


def refused(client, proxy, scheme, world):
    answer = client(world, world.open.address(proxy), world.refused(scheme))
    expect("the status", answer.refused, 403)
    expect("requests of the server that is not allowed", world.forbidden.seen, [])


def guarded(client, proxy, scheme, world):
    address, url = world.guarded.address(proxy), world.url(scheme)
    expect("without a password", client(world, address, url).refused, 407)
    expect("with a wrong one", client(world, address, url, "Secret").refused, 407)
    server = world.secure if scheme == "https" else world.plain
    before = len(server.seen)
    expect_page(client(world, address, url, PASSWORD), scheme)
    expect("requests", len(server.seen), before + 1)
    if leaked := [name for name in server.seen[-1] if name.lower() == "proxy-authorization"]:
        raise Wrong(f"the server got {leaked}")


def large(client, proxy, scheme, world):
    address = world.open.address(proxy)
    answer = client(world, address, world.url(scheme, "/large"))
    expect("the download is whole", answer.body == LARGE, True)
    answer = client(world, address, world.url(scheme, "/echo"), data=LARGE)
    expect("the upload came back whole", answer.body == LARGE, True)


def cases(client, proxies, kinds):
    return [
        (f"{kind.__name__}: {scheme} by a proxy of {proxy}", partial(kind, client, proxy, scheme))
        for kind in kinds
        for proxy in proxies
        for scheme in ("http", "https")
    ]


def chromium_through(proxy, scheme, world):
    line = through(chromium, proxy, scheme, world)
    # ALPN chooses it.
    expect("the protocol", line["protocol"], "HTTP/2" if proxy == "https" else "HTTP/1.1")


def chromium_refused(proxy, scheme, world):
    address, url = world.open.address(proxy), world.refused(scheme)
    if scheme == "https":
        # Nothing is shown that a proxy says to a CONNECT.
        answer, _ = controlled(world, address, url, PASSWORD)
        expect("the error", answer.body, b"net::ERR_TUNNEL_CONNECTION_FAILED")
        return expect("requests of the server that is not allowed", world.forbidden.seen, [])
    answer = chromium(world, address, url)
    if b"may not be used to reach this destination" not in answer.body:
        raise Wrong(f"the browser shows {answer.body[:200]!r}, not the proxy's answer")
    expect("requests of the server that is not allowed", world.forbidden.seen, [])


def chromium_guarded(proxy, scheme, world):
    address, url = world.guarded.address(proxy), world.url(scheme)
    answer, asked = controlled(world, address, url, PASSWORD)
    expect_page(answer, scheme)
    expect("how often the browser asks", asked, 1)
    answer, asked = controlled(world, address, url, "Secret")
    expect("how often the browser asks for a better one", asked, 2)
    if b"got /page" in answer.body:
        raise Wrong("a wrong password leads to the page")


def chromium_cases():
    return [
        (f"{name}: {scheme} by a proxy of {proxy}", partial(kind, proxy, scheme))
        for name, kind in (("through", chromium_through), ("refused", chromium_refused), ("guarded", chromium_guarded))
        for proxy in ("http", "https")
        for scheme in ("http", "https")
    ]


BOTH, ALL = ("http", "https"), (through, refused, guarded)
CASES = {
    "curl": cases(clients.curl, BOTH, (*ALL, large)),
    # It speaks no TLS with proxies.
    "wget": cases(clients.wget, ("http",), ALL),
    "requests": cases(clients.requests, BOTH, (*ALL, large)),
    "chromium": chromium_cases(),
}
