"""What is asked of the proxies. Add a scenario by adding a line."""

from dataclasses import dataclass

ALL = (
    "nginx", "haproxy", "envoy", "envoy-wasm", "caddy", "waypost-native", "waypost-random", "waypost", "waypost-range",
    "waypost-router", "waypost-all", "waypost-least-loaded", "waypost-request",
)
# How they are shown.
ORDER = (*ALL[:1], "nginx-64k", *ALL[1:])
# Where what a policy decides makes little difference, not every configuration is measured.
MAIN = ("nginx", "haproxy", "envoy", "envoy-wasm", "caddy", "waypost-native", "waypost-random", "waypost")
# With the buffers that large bodies want, where there are large bodies.
BODY = ("nginx", "nginx-64k", *MAIN[1:])
BALANCING = ("nginx", "haproxy", "envoy", "waypost-random", "waypost-least-loaded")
# `waypost` has a pool for each host there, the others one pool for all.
ROUTING = ("nginx", "haproxy", "envoy", "waypost-random", "waypost")


@dataclass(frozen=True)
class Scenario:
    name: str
    told: str
    connections: int = 64
    # A file of the backends, named by what it holds; see BODIES.
    path: str = "/small"
    # Each request on a connection of its own (between client and proxy; upstream connections are kept).
    close: bool = False
    # Bytes of each request's body; with any, the method is POST.
    upload: int = 0
    backends: int = 4
    # Routes by host, over which requests are spread evenly. 0: one for any host.
    hosts: int = 0
    # Policies, each on a route by host of its own.
    policies: int = 0
    peers: tuple[str, ...] = MAIN
    # `closed`: a request as soon as the one before is answered. `rate`: at half of the peak rate. `memory`: idle, and
    # with many idle connections, on two workers.
    kind: str = "closed"
    # How many turns in each round.
    repeat: int = 1


# What the backends answer, by path: bytes. The small one is a sentence of 22 bytes.
SMALL = b"a signpost of 22 bytes"
BODIES = {"/10k": 10 * 1024, "/1m": 1024 * 1024}

SCENARIOS = [
    # With every peer and more often, because the targets look at it more closely than at the others.
    Scenario("keepalive-64", "64 kept connections, 22-byte body", peers=ALL, repeat=2),
    Scenario("keepalive-1", "1 kept connection, 22-byte body", connections=1),
    Scenario("keepalive-512", "512 kept connections, 22-byte body", connections=512),
    Scenario("new-connection", "64 clients, a new connection per request, 22-byte body", close=True),
    Scenario("body-10k", "64 kept connections, 10 KiB body", path="/10k", peers=BODY),
    Scenario("body-1m", "16 kept connections, 1 MiB body", path="/1m", connections=16, peers=BODY),
    Scenario("upload-16k", "64 kept connections, 16 KiB uploads, 22-byte answer", upload=16 * 1024),
    Scenario("backends-4", "4 backends", peers=BALANCING),
    Scenario("backends-100", "100 backends", backends=100, peers=BALANCING),
    Scenario("backends-1000", "1,000 backends", backends=1000, peers=BALANCING),
    Scenario("routes-1", "1 route by host", hosts=1, peers=ROUTING),
    Scenario("routes-1000", "1,000 routes by host, requests spread over all", hosts=1000, peers=ROUTING),
    Scenario("routes-10000", "10,000 routes by host, requests spread over all", hosts=10000, peers=ROUTING),
    Scenario("policies-1", "1 loaded policy", hosts=1, policies=1, peers=("waypost-random",)),
    Scenario("policies-10", "10 loaded policies, requests spread over all", hosts=10, policies=10, peers=("waypost-random",)),
    Scenario("policies-100", "100 loaded policies, requests spread over all", hosts=100, policies=100, peers=("waypost-random",)),
    Scenario("half-peak", "open loop at half of the rate that the peer reached in keepalive-64", kind="rate"),
    Scenario("memory", "idle, and with idle kept connections after one request each, two workers", kind="memory"),
]
# The scenarios that differ in one number only: what it counts, and the values in order.
FAMILIES = {
    "backends": ("backends", (4, 100, 1000)),
    "routes": ("routes by host", (1, 1000, 10000)),
    "policies": ("loaded policies", (1, 10, 100)),
}
MOST_BACKENDS = 1000
MOST_IDLE = 10_000
