"""What Waypost wants to reach, and whether it did in this run."""

import statistics
from dataclasses import dataclass

from scenarios import FAMILIES, PROTOCOLS

RANDOM, NATIVE = "waypost-random", "waypost-native"
SMALL = "keepalive-64"


@dataclass(frozen=True)
class Target:
    told: str
    most: float
    unit: str
    # One for each turn; empty if it was not measured.
    values: list[float]
    digits: int = 2

    def row(self):
        wanted = f"at most {self.most:,g}{self.unit}"
        if not self.values:
            return [self.told, wanted, "-", "not measured"]
        middle = statistics.median(self.values)
        found = f"{middle:,.{self.digits}f}{self.unit}"
        if len(self.values) > 1:
            found += f" ({min(self.values):,.{self.digits}f} to {max(self.values):,.{self.digits}f})"
        # Rounding must not turn a miss into a hit.
        return [self.told, wanted, found, "yes" if middle <= self.most else "**no**"]


def targets(results):
    """All targets, in the order in which they are told."""
    small = f"CPU per small kept request (`{SMALL}`), `random` component"
    mib = 2**20
    found = [
        Target(f"{small}, over nginx", 1.0, "", results.ratios(SMALL, RANDOM, "nginx")),
        Target(f"{small}, over HAProxy", 1.0, "", results.ratios(SMALL, RANDOM, "haproxy")),
        Target(f"{small}, over Envoy with the proxy-wasm filter", 0.35, "", results.ratios(SMALL, RANDOM, "envoy-wasm")),
        Target(f"{small}, the part in user space", 5, " us", [sample.user for sample in results.of(SMALL, RANDOM)], 1),
        Target(f"{small}, over the native random choice", 1.03, "", results.ratios(SMALL, RANDOM, NATIVE), 3),
        Target("a fresh instance for each request, more CPU than `random`", 15, " us", fresh(results), 1),
        Target("CPU per 1 MiB body, over nginx", 1.0, "", results.ratios("body-1m", RANDOM, "nginx")),
        Target("the same over nginx with buffers of 64 KiB", 1.0, "", results.ratios("body-1m", RANDOM, "nginx-64k")),
        Target("CPU per request on a new connection, over nginx", 1.1, "", results.ratios("new-connection", RANDOM, "nginx")),
        Target("p99 at half of the peak rate, over nginx's", 1.0, "", latency(results)),
    ]
    for family, peers in [("routes", [RANDOM]), ("policies", [RANDOM]), ("backends", [RANDOM, "waypost-least-loaded"])]:
        counted, values = FAMILIES[family]
        for peer in peers:
            least, most = f"{family}-{values[0]}", f"{family}-{values[-1]}"
            told = f"CPU per request with {values[-1]:,} {counted} over {values[0]:,}, `{peer.removeprefix('waypost-')}`"
            found.append(Target(told, 1.05, "", results.ratios(most, peer, peer, least)))
    memory = [measured for measured in results.memory if (measured.scenario, measured.peer) == ("memory", "waypost")]
    found.append(Target("memory idle, two workers, default policies", 40, " MiB", [m.idle / mib for m in memory], 1))
    # A machine that allows fewer connections is measured with fewer.
    held = memory[0].held if memory else 10_000
    found.append(Target(f"memory with {held:,} idle connections, in all", 200, " MiB", [m.full / mib for m in memory], 1))
    return found + protocols(results)


# The most CPU per request over another proxy: scenario, proxy, ratio.
RATIOS = (
    ("tls-keepalive", "nginx", 0.85),
    ("tls-10k", "nginx", 0.85),
    ("tls-1m", "nginx-64k", 0.75),
    ("h2c-1", "nginx", 0.95),
    ("h2c-10", "nginx", 0.70),
    ("h2c-100", "nginx", 0.65),
    ("h2-1", "nginx", 0.95),
    ("h2-10", "nginx", 0.78),
    ("h2-100", "nginx", 0.65),
    ("h2-10k", "nginx", 0.80),
    ("handshake", "nginx", 0.60),
    ("handshake-rsa", "nginx", 0.80),
    ("handshake-resumed", "nginx", 0.65),
    ("grpc-10", "envoy", 0.60),
    ("websocket-32", "nginx", 1.05),
    ("websocket-16k", "caddy", 0.85),
)
# The most KiB for an idle connection.
IDLE = (("memory-tls", 14), ("memory-h2c", 24), ("memory-h2", 38))


def protocols(results):
    """What is wanted of TLS, HTTP/2, gRPC and WebSocket."""
    told = {scenario.name: scenario.told for scenario in PROTOCOLS}
    found = [
        Target(f"CPU per request, {told[name]} (`{name}`), over {other}", most, "", results.ratios(name, RANDOM, other))
        for name, other, most in RATIOS
    ]
    found.append(Target("turns of `grpc-100` with a collapse: errors, or less than half the rate of `grpc-10`", 0, "", collapses(results), 0))
    lost = [100 * measured.lost for measured in results.departures if measured.peer == RANDOM]
    found.append(Target(f"throughput that others lose, {told['leave-1600']}", 10, " %", lost, 1))
    for name, most in IDLE:
        own = [measured for measured in results.memory if (measured.scenario, measured.peer) == (name, RANDOM)]
        each = [(measured.full - measured.idle) / measured.held / 1024 for measured in own]
        found.append(Target(f"memory for each of the {told[name]}", most, " KiB", each, 1))
    return found


def collapses(results):
    """How many turns collapsed; one number, because one is too many."""
    usual = [sample.rate for sample in results.of("grpc-10", RANDOM)]
    turns = results.of("grpc-100", RANDOM)
    if not usual or not turns:
        return []
    least = statistics.median(usual) / 2
    return [sum(sample.errors > 0 or sample.rate < least for sample in turns)]


def fresh(results):
    shared = {sample.turn: sample.cpu for sample in results.of(SMALL, RANDOM)}
    own = results.of(SMALL, "waypost-request")
    return [sample.cpu - shared[sample.turn] for sample in own if sample.turn in shared]


def latency(results):
    nginx = {measured.turn: measured.p99 for measured in results.latencies if measured.peer == "nginx"}
    own = [measured for measured in results.latencies if measured.peer == RANDOM]
    return [measured.p99 / nginx[measured.turn] for measured in own if nginx.get(measured.turn)]
