"""What Waypost wants to reach, and whether it did in this run."""

import statistics
from dataclasses import dataclass

from scenarios import FAMILIES

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
    memory = [measured for measured in results.memory if measured.peer == "waypost"]
    found.append(Target("memory idle, two workers, default policies", 40, " MiB", [m.idle / mib for m in memory], 1))
    # A machine that allows fewer connections is measured with fewer.
    held = memory[0].held if memory else 10_000
    found.append(Target(f"memory with {held:,} idle connections, in all", 200, " MiB", [m.full / mib for m in memory], 1))
    return found


def fresh(results):
    shared = {sample.turn: sample.cpu for sample in results.of(SMALL, RANDOM)}
    own = results.of(SMALL, "waypost-request")
    return [sample.cpu - shared[sample.turn] for sample in own if sample.turn in shared]


def latency(results):
    nginx = {measured.turn: measured.p99 for measured in results.latencies if measured.peer == "nginx"}
    own = [measured for measured in results.latencies if measured.peer == RANDOM]
    return [measured.p99 / nginx[measured.turn] for measured in own if nginx.get(measured.turn)]
