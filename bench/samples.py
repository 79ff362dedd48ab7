"""What a run measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One turn of one peer in one scenario, each request as soon as the one before was answered."""

    peer: str
    scenario: str
    turn: int
    requests: int
    seconds: float
    # CPU microseconds per request.
    user: float
    system: float
    # Of one CPU, while the load ran.
    busy: float
    # Latency in microseconds.
    p50: int
    p99: int
    errors: int
    # Resident peak in bytes.
    memory: int

    @property
    def cpu(self):
        return self.user + self.system

    @property
    def rate(self):
        return self.requests / self.seconds


@dataclass(frozen=True)
class Latency:
    """One turn of one peer at a constant rate; microseconds from the moment at which a request was due."""

    peer: str
    turn: int
    # Requests per second.
    rate: float
    requests: int
    errors: int
    p50: int
    p99: int
    p999: int
    most: int


@dataclass(frozen=True)
class Memory:
    """Bytes of one peer."""

    peer: str
    scenario: str
    turn: int
    idle: int
    # With so many connections idle after a request each.
    held: int
    full: int


@dataclass(frozen=True)
class Departure:
    """Requests per second of one peer: alone, and beside a client that leaves."""

    peer: str
    scenario: str
    turn: int
    alone: float
    beside: float
    errors: int

    @property
    def lost(self):
        return 1 - self.beside / self.alone


@dataclass(frozen=True)
class Failure:
    """A peer that crashed or refused."""

    peer: str
    scenario: str
    why: str


@dataclass
class Results:
    samples: list[Sample]
    latencies: list[Latency]
    memory: list[Memory]
    departures: list[Departure]
    failures: list[Failure]

    def of(self, scenario, peer):
        return [sample for sample in self.samples if sample.scenario == scenario and sample.peer == peer]

    def cpu(self, scenario, peer):
        return [sample.cpu for sample in self.of(scenario, peer)]

    def ratios(self, scenario, peer, other, other_scenario=None, of=lambda sample: sample.cpu):
        """A turn of one over the same turn of the other, so that a slow moment of the machine meets both."""
        others = {sample.turn: of(sample) for sample in self.of(other_scenario or scenario, other)}
        own = self.of(scenario, peer)
        return [of(sample) / others[sample.turn] for sample in own if others.get(sample.turn)]
