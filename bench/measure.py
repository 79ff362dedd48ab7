"""Measures the CPU that proxies use per request, side by side on this machine. Started by bench/run; see README.md."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import report
from peers import PEERS, Waypost, backends
from processes import Process, answers, free_ports, heads_passed_on, listens
from scenarios import BODIES, DEFAULT, SCENARIOS, SMALL

HERE = Path(__file__).resolve().parent
BACKENDS = 4


@dataclass
class Sample:
    """One round of one peer in one scenario."""

    peer: str
    scenario: str
    round: int
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


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers, notes = chosen_peers(options)
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in options.scenarios]
    proxy_cpus, load_cpus, pinned = cpus()
    notes.append(pinned)
    busy = os.getloadavg()[0]
    if busy > 0.5:
        notes.append(f"The machine was not idle before the run (load average {busy:.2f}): take the numbers with care.")
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
        folder = Path(folder)
        bench = Bench(folder, proxy_cpus, load_cpus, options)
        try:
            heads = {peer.name: bench.heads(peer) for peer in peers}
            samples = bench.run(peers, scenarios)
        except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
            sys.exit(f"The run failed: {failure}")
    if options.raw:
        Path(options.raw).write_text(json.dumps([asdict(sample) for sample in samples], indent=1) + "\n")
    text = report.write(samples, peers, scenarios, heads, notes, options)
    print(text)
    if options.output:
        Path(options.output).write_text(text)
        print(f"written to {options.output}", file=sys.stderr)
    return 0


class Bench:
    def __init__(self, folder, proxy_cpus, load_cpus, options):
        self.folder, self.proxy_cpus, self.load_cpus, self.options = folder, proxy_cpus, load_cpus, options
        self.started = 0

    def run(self, peers, scenarios):
        """All samples: in each round of a scenario every peer once, so that a slow moment meets all of them."""
        samples = []
        ports = free_ports(BACKENDS)
        home = self.fresh_folder("backends")
        command, environment = backends(home, ports, SMALL, BODIES)
        with Process(command, self.load_cpus, home, environment) as process:
            process.wait_for(ports[0], answers)
            for scenario in scenarios:
                for turn in range(self.options.rounds):
                    # Who comes first changes, too.
                    shift = turn % len(peers)
                    for peer in peers[shift:] + peers[:shift]:
                        sample = self.sample(peer, scenario, turn + 1, ports)
                        print(report.progress(sample), file=sys.stderr, flush=True)
                        samples.append(sample)
        return samples

    def sample(self, peer, scenario, turn, ports):
        """A fresh process each time: its luck with memory layout is part of the spread."""
        with self.proxy(peer, ports) as (process, port):
            self.load(scenario, port, self.options.warm_up)
            before = process.used()
            load = self.load(scenario, port, self.options.seconds)
            used = process.used() - before
            memory = process.peak_memory()
        requests, seconds = load["requests"], load["microseconds"] / 1e6
        if requests == 0:
            raise RuntimeError(f"{peer.name} answered no request of {scenario.name}: {load}")
        return Sample(
            peer=peer.name, scenario=scenario.name, round=turn, requests=requests, seconds=seconds,
            user=used.user / requests * 1e6, system=used.system / requests * 1e6,
            busy=(used.user + used.system) / seconds, p50=load["p50"], p99=load["p99"],
            errors=sum(load[kind] for kind in ["connect", "read", "write", "status", "timeout"]), memory=memory,
        )

    def load(self, scenario, port, seconds):
        """Runs wrk and gives its summary. It counts whole seconds."""
        command = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "-s", str(HERE / "wrk.lua")]
        command += ["-H", "Host: bench.test"] + (["-H", "Connection: close"] if scenario.close else [])
        home = self.fresh_folder("wrk")
        load = Process(
            command + [f"http://127.0.0.1:{port}{scenario.path}"], self.load_cpus, home,
            {"BENCH_UPLOAD": str(scenario.upload)},
        )
        with load:
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
            with self.proxy(peer, [backend], ready=listens) as (_, port):
                yield port

        return heads_passed_on(start)

    @contextlib.contextmanager
    def proxy(self, peer, ports, ready=answers):
        (port,) = free_ports(1)
        home = self.fresh_folder(peer.name)
        command, environment = peer.command(home, port, ports)
        with Process(command, self.proxy_cpus, home, environment) as process:
            process.wait_for(port, ready)
            yield process, port

    def fresh_folder(self, name):
        self.started += 1
        home = self.folder / f"{self.started}-{name}"
        home.mkdir()
        return home


def arguments():
    names = [scenario.name for scenario in SCENARIOS]
    known = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--scenarios", default=",".join(DEFAULT), help=f"comma-separated, or all; of {', '.join(names)}")
    parser.add_argument("--peers", default=",".join(known), help=f"comma-separated; of {', '.join(known)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="measured in each round")
    parser.add_argument("--warm-up", type=int, default=1, help="seconds before each measurement")
    parser.add_argument("--output", default=str(HERE / "RESULTS.md"), help="where the table goes; empty for nowhere")
    parser.add_argument("--raw", help="a file for every sample, as JSON")
    options = parser.parse_args()
    options.scenarios = names if options.scenarios == "all" else options.scenarios.split(",")
    options.peers = options.peers.split(",")
    for given, allowed, flag in [(options.scenarios, names, "scenarios"), (options.peers, known, "peers")]:
        for name in given:
            if name not in allowed:
                parser.error(f"--{flag}: there is no {name!r}; there are {', '.join(allowed)}")
    for flag in ["rounds", "seconds", "warm_up"]:
        if getattr(options, flag) < 1:
            parser.error(f"--{flag.replace('_', '-')} must be at least 1")
    return options


def chosen_peers(options):
    """The peers that can run, the first of which is compared with, and notes on those that can't."""
    missing = [] if shutil.which("wrk") else ["wrk is not installed (Debian: apt install wrk)"]
    if lacking := PEERS[0].missing():
        missing.append(f"{lacking}; it also serves as the backends")
    peers, notes = [], []
    for peer in PEERS:
        if peer.name not in options.peers:
            continue
        if isinstance(peer, Waypost):
            peer.build()
        lacking = peer.missing()
        if lacking is None:
            peers.append(peer)
        elif isinstance(peer, Waypost):
            missing.append(lacking)
        elif lacking not in missing:
            notes.append(f"Left out: {lacking}.")
    if missing:
        sys.exit("The benchmark installs nothing, and this is missing:\n- " + "\n- ".join(missing))
    for note in notes:
        print(note, file=sys.stderr)
    return peers, notes


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
