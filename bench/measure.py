"""Measures what proxies cost, side by side on this machine. Started by bench/run; see README.md."""

import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import certificates
import plots
import report
import waypost
from loads import LOAD, WINDOWED, Found, spoken, target
from options import HERE, PEERS, arguments
from peer import Setup, host_name
from peers import backends
from processes import Process, answers, free_ports, heads_passed_on, listens, open_files
from samples import Departure, Failure, Latency, Memory, Results, Sample
from scenarios import BODIES, LEFT_STREAMS, MOST_BACKENDS, SCENARIOS, SMALL

# Real listeners; further backends are the same ports on other loopback addresses.
PORTS = 4


def main():
    started = time.monotonic()
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers, notes = chosen_peers(options)
    scenarios = chosen_scenarios(options, notes)
    build_load(notes)
    proxy_cpus, load_cpus, pinned = cpus()
    notes.append(pinned)
    busy = os.getloadavg()[0]
    if busy > 0.5:
        notes.append(f"The machine was not idle before the run (load average {busy:.2f}): take the numbers with care.")
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
        bench = Bench(Path(folder), proxy_cpus, load_cpus, options, notes, started)
        try:
            heads = bench.run(peers, scenarios)
        except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
            sys.exit(f"The run failed: {plain(failure)}")
    notes.append(f"The run took {(time.monotonic() - started) / 60:.1f} minutes.")
    results = bench.results
    if options.raw:
        Path(options.raw).write_text(json.dumps(asdict(results), indent=1) + "\n")
    drawn = plots.draw(results, Path(options.output) / "plots") if options.output else []
    text = report.write(results, peers, scenarios, heads, notes, options, drawn)
    print(text)
    if options.output:
        (Path(options.output) / "RESULTS.md").write_text(text)
        print("written: RESULTS.md and plots/", file=sys.stderr)
    return 0


class Bench:
    def __init__(self, folder, proxy_cpus, load_cpus, options, notes, started):
        self.folder, self.proxy_cpus, self.load_cpus, self.options = folder, proxy_cpus, load_cpus, options
        self.notes, self.until = notes, started + options.budget * 60
        self.folders = 0
        self.results = Results([], [], [], [], [])
        # Of the backends that run, by what they speak.
        self.addresses = {}
        # By the kind of key.
        self.certificates = {}

    def run(self, peers, scenarios):
        """All that can be measured in time; gives what each peer passed on.

        The rounds are the outer loop: if time runs out, everything was measured, only less often. Within a turn of a
        scenario every peer has one, and who comes first changes, so that a slow moment of the machine meets all.
        """
        heads = {}
        for peer in peers:
            with self.reported(peer, "start"):
                heads[peer.name] = self.heads(peer)
        # What can't start at all is not tried again.
        peers = [peer for peer in peers if peer.name in heads]
        for kind in dict.fromkeys(scenario.tls for scenario in scenarios if scenario.tls):
            self.certificates[kind] = certificates.make(self.folder, kind, host_name(0))
        with self.backends():
            for at in range(self.options.rounds):
                if not self.round(at, peers, scenarios):
                    self.notes.append(f"The time was up in round {at + 1} of {self.options.rounds}.")
                    break
        return heads

    @contextlib.contextmanager
    def backends(self):
        ports = free_ports(3 * PORTS)
        plain, h2c, echo = ports[:PORTS], ports[PORTS : 2 * PORTS], ports[2 * PORTS :]
        self.addresses = {
            "http/1.1": [f"127.0.{at // 250}.{at % 250 + 1}:{port}" for at in range(MOST_BACKENDS // PORTS) for port in plain],
            "h2c": [f"127.0.0.1:{port}" for port in h2c],
            "websocket": [f"127.0.0.1:{port}" for port in echo],
        }
        home = self.fresh_folder("backends")
        command, environment = backends(home, self.addresses["http/1.1"], SMALL, BODIES)
        started = [(command, environment, home, plain[0], answers)]
        for name, spoken_there, port, ready in [("h2c", ["--protocol", "h2"], h2c[0], listens), ("websocket", [], echo[0], answers)]:
            command = [str(LOAD), "serve", "--listen", ",".join(self.addresses[name]), *spoken_there]
            started.append((command, {}, self.fresh_folder(name), port, ready))
        with contextlib.ExitStack() as running:
            for command, environment, home, port, ready in started:
                running.enter_context(Process(command, self.load_cpus, home, environment)).wait_for(port, ready)
            yield

    def round(self, at, peers, scenarios):
        """Whether there was time for all of it."""
        for scenario in scenarios:
            # Memory hardly varies, and takes longest.
            if scenario.kind == "memory" and at >= max(self.options.rounds // 2, 1):
                continue
            own = [peer for peer in peers if peer.name in scenario.peers]
            for turn in range(at * scenario.repeat, (at + 1) * scenario.repeat):
                shift = turn % max(len(own), 1)
                for peer in own[shift:] + own[:shift]:
                    if time.monotonic() > self.until:
                        return False
                    if not any((failure.peer, failure.scenario) == (peer.name, scenario.name) for failure in self.results.failures):
                        with self.reported(peer, scenario.name):
                            self.measure(peer, scenario, turn)
        return True

    @contextlib.contextmanager
    def reported(self, peer, scenario):
        """A peer that crashes or refuses is part of the results, and no reason to stop."""
        try:
            yield
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as failure:
            why = plain(failure)
            self.results.failures.append(Failure(peer.name, scenario, why))
            print(f"{scenario} {peer.name}: FAILED: {why}", file=sys.stderr, flush=True)

    def measure(self, peer, scenario, turn):
        """A fresh process each time: its luck with memory layout is part of the spread."""
        kinds = {
            "closed": (self.closed, self.results.samples),
            "h2load": (self.windowed, self.results.samples),
            "handshake": (self.windowed, self.results.samples),
            "echo": (self.windowed, self.results.samples),
            "leave": (self.beside_one_that_leaves, self.results.departures),
            "rate": (self.at_half_peak, self.results.latencies),
            "memory": (self.memory, self.results.memory),
        }
        measure, into = kinds[scenario.kind]
        into.append(measure(peer, scenario, turn))
        print(report.progress(scenario, into[-1]), file=sys.stderr, flush=True)

    def closed(self, peer, scenario, turn):
        with self.proxy(peer, scenario) as (process, port):
            self.wrk(scenario, port, self.options.warm_up, measured=False)
            before = process.used()
            load = self.wrk(scenario, port, self.options.seconds)
            used = process.used() - before
            memory = process.peak_memory()
        if load["requests"] == 0:
            raise RuntimeError(f"{peer.name} answered no request: {load}")
        errors = sum(load[kind] for kind in ["connect", "read", "write", "status", "timeout"])
        found = Found(load["requests"], load["microseconds"] / 1e6, errors, load["p50"], load["p99"])
        return sample(peer, scenario, turn, found, used, memory)

    def windowed(self, peer, scenario, turn):
        with self.proxy(peer, scenario) as (process, port):
            found, used = self.through_window(process, scenario, port)
            memory = process.peak_memory()
        return sample(peer, scenario, turn, found, used, memory)

    def through_window(self, process, scenario, port, beside=contextlib.nullcontext()):
        """What a load generator found, and what the proxy used meanwhile. `beside` begins with the time that counts."""
        generator, home, seconds = WINDOWED[scenario.kind], self.fresh_folder("load"), self.options.seconds
        load = Process(generator.command(scenario, port, self.options, home), self.load_cpus, home)
        with load:
            load.until_said(generator.started, 2 * self.options.warm_up + 30)
            before = process.used()
            with beside:
                time.sleep(seconds * 0.9)
                load.until_said(generator.ended, seconds + 30)
                used = process.used() - before
            # Its summary comes at its end.
            load.process.wait(30)
            found = generator.found(load.log.read_text(errors="replace"), self.options, home)
        if found.requests == 0:
            raise RuntimeError(f"no request was answered, and {found.errors} failed")
        return found, used

    def beside_one_that_leaves(self, peer, scenario, turn):
        """What others get, first alone, and then while a client opens many streams and leaves, once in a second."""
        with self.proxy(peer, scenario) as (process, port):
            alone, _ = self.through_window(process, scenario, port)
            command = [LOAD, "leave", *target(port), "--connections", scenario.connections, "--streams", LEFT_STREAMS]
            leaver = Process([str(word) for word in command], self.load_cpus, self.fresh_folder("leave"))
            beside, _ = self.through_window(process, scenario, port, leaver)
            if '"left"' not in (said := leaver.log.read_text()):
                raise RuntimeError(f"nobody left: {said.strip() or 'the time was too short'}")
        errors = alone.errors + beside.errors
        return Departure(peer.name, scenario.name, turn, alone=alone.rate, beside=beside.rate, errors=errors)

    def at_half_peak(self, peer, scenario, turn):
        peaks = [sample.rate for sample in self.results.of("keepalive-64", peer.name)]
        with self.proxy(peer, scenario) as (_, port):
            if not peaks:
                load = self.wrk(scenario, port, 1)
                peaks = [load["requests"] / load["microseconds"] * 1e6]
            rate = statistics.median(peaks) / 2
            seconds = self.options.seconds * 2
            said = self.ask(
                "open", port, "--rate", f"{rate:.1f}", "--seconds", str(seconds), "--warm-up", str(self.options.warm_up),
                "--connections", str(scenario.connections), patience=seconds + 30,
            )
        if said["requests"] == 0:
            raise RuntimeError(f"{peer.name} answered no request: {said}")
        return Latency(
            peer=peer.name, turn=turn, rate=rate, requests=said["requests"], errors=said["errors"], p50=said["p50"],
            p99=said["p99"], p999=said["p999"], most=said["max"],
        )

    def memory(self, peer, scenario, turn):
        # One descriptor for each connection, and some for all the rest.
        wanted = min(scenario.connections, open_files() - 1000)
        with self.proxy(peer, scenario, workers=2) as (process, port):
            idle = process.memory()
            home = self.fresh_folder("load")
            command = [LOAD, "hold", *target(port), *spoken(scenario), "--connections", wanted]
            load = Process([str(word) for word in command], self.load_cpus, home)
            load.input = subprocess.PIPE
            with load:
                said = load.line(60)
                full = process.memory()
        held = said.get("held", 0)
        if held < wanted:
            raise RuntimeError(f"only {held:,} of {wanted:,} connections were served: {said.get('failure') or 'in 60 s'}")
        return Memory(peer=peer.name, scenario=scenario.name, turn=turn, idle=idle, held=held, full=full)

    def ask(self, mode, port, *more, patience):
        """Runs our own load generator to its end and gives what it said."""
        load = Process([str(LOAD), mode, *target(port), *more], self.load_cpus, self.fresh_folder("load"))
        with load:
            return load.line(patience)

    def wrk(self, scenario, port, seconds, measured=True):
        """Runs wrk and gives its summary. It counts whole seconds, so a warm-up is cut short."""
        command = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds if measured else 60}s", "-s", str(HERE / "wrk.lua")]
        command += ["-H", "Host: h0.bench.test"] + (["-H", "Connection: close"] if scenario.close else [])
        load = Process(
            [*command, f"http://127.0.0.1:{port}{scenario.path}"], self.load_cpus, self.fresh_folder("wrk"),
            {"BENCH_UPLOAD": str(scenario.upload), "BENCH_HOSTS": str(scenario.hosts)},
        )
        with load:
            if not measured:
                time.sleep(seconds)
                return None
            load.process.wait(seconds + 30)
            said = load.log.read_text()
        for line in said.splitlines():
            if line.startswith("SUMMARY "):
                return json.loads(line.removeprefix("SUMMARY "))
        raise RuntimeError(f"wrk failed: {said}")

    def heads(self, peer):
        """What the peer really sends to a backend and to a client, to see that all do the same work."""

        @contextlib.contextmanager
        def start(backend):
            self.addresses = {"http/1.1": [f"127.0.0.1:{backend}"]}
            with self.proxy(peer, SCENARIOS[0], ready=listens) as (_, port):
                yield port

        return heads_passed_on(start)

    @contextlib.contextmanager
    def proxy(self, peer, scenario, ready=None, workers=1):
        (port,) = free_ports(1)
        setup = Setup(
            folder=self.fresh_folder(peer.name), port=port,
            backends=tuple(self.addresses[scenario.upstream][: scenario.backends]),
            hosts=scenario.hosts, policies=scenario.policies, workers=workers,
            certificate=self.certificates.get(scenario.tls), h2c=scenario.protocol == "h2" and not scenario.tls,
            upstream=scenario.upstream, crowd=scenario.connections * scenario.streams if scenario.streams > 1 else 0,
        )
        if ready is None:
            ready = lambda port: answers_in(scenario, port)  # noqa: E731
        command, environment = peer.command(setup)
        with Process(command, self.proxy_cpus, setup.folder, environment) as process:
            process.wait_for(port, ready)
            yield process, port

    def fresh_folder(self, name):
        self.folders += 1
        home = self.folder / f"{self.folders}-{name}"
        home.mkdir()
        return home


def sample(peer, scenario, turn, found, used, memory):
    each = 1e6 / found.requests
    return Sample(
        peer=peer.name, scenario=scenario.name, turn=turn, requests=found.requests, seconds=found.seconds,
        user=used.user * each, system=used.system * each, busy=(used.user + used.system) / found.seconds,
        p50=found.p50, p99=found.p99, errors=found.errors, memory=memory,
    )


def answers_in(scenario, port):
    """Whether a GET gets a 200, by the protocol of the scenario."""
    if not spoken(scenario):
        return answers(port)
    asked = subprocess.run(
        [str(LOAD), "count", *target(port), *spoken(scenario)], capture_output=True, timeout=40, check=False,
    )
    return asked.returncode == 0


def plain(failure):
    """A failure in one line, without paths of this machine."""
    text = " ".join(str(failure).split())
    return re.sub(r"(?<![\w:/])/(?:[\w.+-]+/)+", ".../", text)[:300]


def chosen_peers(options):
    """The peers that can run, the first of which is compared with, and notes on those that can't."""
    missing = [] if shutil.which("wrk") else ["`wrk` is not on the PATH (Debian: `apt install wrk`)"]
    if absent := PEERS[0].missing():
        missing.append(f"{absent}; it also serves as the backends")
    if not LOAD.is_file() and not shutil.which("cargo"):
        missing.append("our load generator is not built, and `cargo` is not on the PATH to build it")
    if any(isinstance(peer, waypost.Waypost) for peer in PEERS if peer.name in options.peers):
        waypost.build()
    peers, notes = [], []
    for peer in PEERS:
        if peer.name not in options.peers:
            continue
        absent = peer.missing()
        if absent is None:
            peers.append(peer)
        elif isinstance(peer, waypost.Waypost):
            missing.append(absent)
        else:
            notes.append(f"{peer.name} was left out: {absent}.")
    if missing:
        sys.exit("The benchmark installs nothing, and this is missing:\n- " + "\n- ".join(dict.fromkeys(missing)))
    for note in notes:
        print(note, file=sys.stderr)
    return peers, notes


def chosen_scenarios(options, notes):
    """The scenarios for which all is there."""
    scenarios, lacking = [], {}
    for scenario in (scenario for scenario in SCENARIOS if scenario.name in options.scenarios):
        absent = [(program, how) for program, how in scenario.needs() if not shutil.which(program)]
        for what in absent:
            lacking.setdefault(what, []).append(scenario.name)
        if not absent:
            scenarios.append(scenario)
    for (program, how), names in lacking.items():
        notes.append(f"Left out, because `{program}` is not on the PATH ({how}): {', '.join(names)}.")
        print(notes[-1], file=sys.stderr)
    if any(scenario.tls for scenario in scenarios):
        notes.append(f"Where there is TLS: {certificates.TOLD}.")
    return scenarios


def build_load(notes):
    """Builds our load generator; a matter of seconds, and of none if it is there."""
    if not shutil.which("cargo"):
        return
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load", "--target-dir", str(HERE / "target")]
    if subprocess.run(command, cwd=HERE, stdout=sys.stderr, check=False).returncode != 0:
        if not LOAD.is_file():
            sys.exit("The load generator (bench/load) can't be built; see above.")
        notes.append("The load generator could not be built; an older one was used.")


def cpus():
    """CPUs for the proxy and for load with backends, and a sentence about them."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return None, None, "Not pinned: there is one CPU only, so load and backends disturb the proxy's caches."
    proxy, load = {usable[-1]}, set(usable[:-1])
    shown = ", ".join(str(cpu) for cpu in sorted(load))
    return proxy, load, f"Pinned: the proxy on CPU {usable[-1]}; load and backends on CPU {shown}."


if __name__ == "__main__":
    sys.exit(main())
