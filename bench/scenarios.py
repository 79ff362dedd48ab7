"""What is asked of the proxies. Add a scenario by adding a line."""

from dataclasses import dataclass

ALL = (
    "nginx", "haproxy", "envoy", "envoy-wasm", "caddy", "waypost-native", "waypost-random", "waypost", "waypost-range",
    "waypost-router", "waypost-all", "waypost-least-loaded", "waypost-request",
)
# How they are shown.
ORDER = (*ALL[:1], "nginx-64k", *ALL[1:], "waypost-one-route", "waypost-matches")
# Where what a policy decides makes little difference, not every configuration is measured.
MAIN = ("nginx", "haproxy", "envoy", "envoy-wasm", "caddy", "waypost-native", "waypost-random", "waypost")
# With the buffers that large bodies want, where there are large bodies.
BODY = ("nginx", "nginx-64k", *MAIN[1:])
BALANCING = ("nginx", "haproxy", "envoy", "waypost-random", "waypost-least-loaded")
# `waypost` has a pool for each host there, the others one pool for all.
ROUTING = ("nginx", "haproxy", "envoy", "waypost-random", "waypost-one-route", "waypost-matches", "waypost")
# TLS, HTTP/2, gRPC and WebSocket: `random` in ours, no policy in theirs.
PROTOCOL = ("nginx", "haproxy", "envoy", "caddy", "waypost-random")
PROTOCOL_BODY = ("nginx", "nginx-64k", *PROTOCOL[1:])


@dataclass(frozen=True)
class Scenario:
    name: str
    told: str
    connections: int = 64
    # Between client and proxy: `http/1.1` or `h2`, which is by prior knowledge where there is no TLS.
    protocol: str = "http/1.1"
    # At the same time on each connection, by HTTP/2.
    streams: int = 1
    # The kind of key in the proxy's certificate, `ecdsa` (P-256) or `rsa` (2048 bits). None: no TLS.
    tls: str | None = None
    # Between proxy and backends: `http/1.1`, `h2c` with answers as gRPC's, or `websocket`.
    upstream: str = "http/1.1"
    # A file of the backends, named by what it holds; see BODIES.
    path: str = "/small"
    # Each request on a connection of its own (between client and proxy; upstream connections are kept).
    close: bool = False
    # TLS sessions are resumed.
    resumed: bool = False
    # Bytes of each request's body; with any, the method is POST. Of each message, if it is a WebSocket.
    upload: int = 0
    backends: int = 4
    # Routes by host, over which requests are spread evenly. 0: one for any host.
    hosts: int = 0
    # Policies, each on a route by host of its own.
    policies: int = 0
    peers: tuple[str, ...] = MAIN
    # A request as soon as the one before is answered: `closed` by wrk, `h2load` where there is TLS or HTTP/2,
    # `handshake` on a connection of its own, `echo` by WebSocket. `rate`: at half of the peak rate. `leave`: like
    # `h2load`, first alone and then beside a client that leaves. `memory`: idle, and with idle connections, on two workers.
    kind: str = "closed"
    # How many turns in each round.
    repeat: int = 1

    def needs(self):
        """Programs that not every scenario needs, and how to get them."""
        if self.kind in ("h2load", "leave"):
            yield "h2load", "Debian: `apt install nghttp2-client`"
        if self.tls:
            yield "openssl", "Debian: `apt install openssl`"


# What the backends answer, by path: bytes. The small one is a sentence of 22 bytes.
SMALL = b"a signpost of 22 bytes"
BODIES = {"/10k": 10 * 1024, "/1m": 1024 * 1024}

PLAIN = [
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
    Scenario("memory", "idle, and with idle kept connections after one request each, two workers", kind="memory", connections=10_000),
]


def over_tls(name, told, kind="h2load", tls="ecdsa", peers=PROTOCOL, **more):
    return Scenario(name, told, kind=kind, tls=tls, peers=peers, **more)


def over_h2(name, told, kind="h2load", connections=16, peers=PROTOCOL, **more):
    return Scenario(name, told, kind=kind, protocol="h2", connections=connections, peers=peers, **more)


def by_grpc(name, told, **more):
    return over_h2(name, told, upstream="h2c", upload=32, **more)


def by_websocket(name, told, size):
    return Scenario(name, told, kind="echo", upstream="websocket", upload=size, peers=PROTOCOL)


PROTOCOLS = [
    over_tls("tls-keepalive", "TLS, 64 kept connections, 22-byte body"),
    over_tls("tls-10k", "TLS, 64 kept connections, 10 KiB body", path="/10k"),
    over_tls("tls-1m", "TLS, 16 kept connections, 1 MiB body", path="/1m", connections=16, peers=PROTOCOL_BODY),
    over_h2("h2c-1", "h2c, 16 connections with 1 stream, 22-byte body"),
    over_h2("h2c-10", "h2c, 16 connections with 10 streams, 22-byte body", streams=10),
    over_h2("h2c-100", "h2c, 16 connections with 100 streams, 22-byte body", streams=100),
    over_h2("h2-1", "HTTP/2 over TLS, 16 connections with 1 stream, 22-byte body", tls="ecdsa"),
    over_h2("h2-10", "HTTP/2 over TLS, 16 connections with 10 streams, 22-byte body", tls="ecdsa", streams=10),
    over_h2("h2-100", "HTTP/2 over TLS, 16 connections with 100 streams, 22-byte body", tls="ecdsa", streams=100),
    over_h2("h2-10k", "HTTP/2 over TLS, 16 connections with 10 streams, 10 KiB body", tls="ecdsa", streams=10, path="/10k"),
    over_h2("h2-1m", "HTTP/2 over TLS, 16 connections with 1 stream, 1 MiB body", tls="ecdsa", path="/1m", peers=PROTOCOL_BODY),
    over_tls("handshake", "16 clients, a full handshake (ECDSA) per request", "handshake", connections=16),
    over_tls("handshake-rsa", "16 clients, a full handshake (RSA) per request", "handshake", "rsa", connections=16),
    over_tls("handshake-resumed", "16 clients, a resumed handshake per request", "handshake", connections=16, resumed=True),
    by_grpc("grpc-10", "gRPC-like calls, h2c on both sides, 16 connections with 10 streams", streams=10),
    # More often, because what is looked for is a collapse now and then.
    by_grpc("grpc-100", "gRPC-like calls, h2c on both sides, 16 connections with 100 streams", streams=100, repeat=4),
    by_grpc("leave-1600", "gRPC-like calls beside a client that opens 1,600 streams and leaves, once in a second", streams=10, kind="leave"),
    by_websocket("websocket-32", "64 WebSockets, a message of 32 bytes and its echo", 32),
    by_websocket("websocket-16k", "64 WebSockets, a message of 16 KiB and its echo", 16 * 1024),
    over_tls("memory-tls", "idle TLS connections, HTTP/1.1", "memory", connections=4_000),
    over_h2("memory-h2c", "idle h2c connections", "memory", connections=4_000),
    over_h2("memory-h2", "idle TLS connections, HTTP/2", "memory", tls="ecdsa", connections=4_000),
]
SCENARIOS = [*PLAIN, *PROTOCOLS]
# By the names under which they can be chosen together.
SETS = {"plain": PLAIN, "protocols": PROTOCOLS}
# Streams on each connection of the client that leaves, which has as many connections as the others.
LEFT_STREAMS = 100
# The scenarios that differ in one number only: what it counts, and the values in order.
FAMILIES = {
    "backends": ("backends", (4, 100, 1000)),
    "routes": ("routes by host", (1, 1000, 10000)),
    "policies": ("loaded policies", (1, 10, 100)),
}
MOST_BACKENDS = 1000
