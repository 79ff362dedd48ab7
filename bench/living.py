"""What clients notice when backends fail. Started by bench/living; see README.md.

Eight origins behind one proxy, `RATE` requests a second, every fourth a POST. Each scenario breaks one of the origins, or
all, for some seconds; a proxy is started anew for each.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from living_load import Load
from living_peers import PEERS
from peer import Setup
from processes import Process, answers, free_ports, listens

HERE = Path(__file__).resolve().parent
ORIGINS = 8
RATE = 240.0
# A request that took longer than this has waited.
WAITED = 0.5
CALM = 3.0


class Origins:
    """Eight origins, each a process."""

    def __init__(self, folder):
        self.folder, self.ports, self.running = folder, free_ports(ORIGINS), {}
        self.gone = {"asked": 0, "ids": {}}

    def start(self, at):
        home = self.folder / f"origin-{at}-{time.monotonic_ns()}"
        home.mkdir()
        command = [sys.executable, str(HERE / "living_origin.py"), str(self.ports[at])]
        self.running[at] = Process(command, None, home).__enter__()
        self.running[at].wait_for(self.ports[at], listens)

    def signal(self, at, number):
        self.running[at].process.send_signal(number)

    def end(self, at, number):
        """Ends it; what it has counted is kept."""
        self.note(at)
        self.signal(at, number)

    def gone_by_now(self, at):
        return self.running[at].ends_within(10)

    def reap(self, at):
        self.running.pop(at).__exit__()

    def ask(self, at, target):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[at]}{target}", timeout=5) as answer:
            return json.load(answer)

    def mode(self, at, kind, share):
        self.ask(at, f"/_mode?kind={kind}&share={share}")

    def note(self, at):
        counts = self.ask(at, "/_counts")
        self.gone["asked"] += counts["asked"]
        for name, count in counts["ids"].items():
            self.gone["ids"][name] = self.gone["ids"].get(name, 0) + count

    def asked(self):
        return [self.ask(at, "/_counts")["asked"] if at in self.running else 0 for at in range(ORIGINS)]

    def close(self):
        for process in self.running.values():
            process.process.send_signal(signal.SIGCONT)
            process.__exit__()


class Hole:
    """A port where nobody answers: its queue is full, so that the kernel drops what comes."""

    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(0)
        self.filling = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            self.filling.append(client)

    def close(self):
        for one in [*self.filling, self.listener]:
            one.close()


async def share_fails(origins, kind, share=0.5):
    origins.mode(0, kind, share)
    await asyncio.sleep(6)
    origins.mode(0, "ok", 0)


async def hole(origins):
    origins.end(0, signal.SIGKILL)
    origins.gone_by_now(0)
    origins.reap(0)
    with contextlib.closing(Hole(origins.ports[0])):
        await asyncio.sleep(6)
    origins.start(0)


async def stopped(origins):
    origins.signal(0, signal.SIGSTOP)
    await asyncio.sleep(5)
    origins.signal(0, signal.SIGCONT)


async def rolling(origins):
    for at in range(ORIGINS):
        origins.end(at, signal.SIGTERM)
        while not await asyncio.to_thread(origins.gone_by_now, at):
            pass
        origins.reap(at)
        await asyncio.to_thread(origins.start, at)
        await asyncio.sleep(0.3)


async def outage(origins):
    for at in range(ORIGINS):
        origins.end(at, signal.SIGKILL)
    for at in range(ORIGINS):
        origins.gone_by_now(at)
        origins.reap(at)
    await asyncio.sleep(2)
    for at in range(ORIGINS):
        await asyncio.to_thread(origins.start, at)


SCENARIOS = {
    "healthy": lambda _: asyncio.sleep(6),
    "503": lambda origins: share_fails(origins, "503"),
    "reset": lambda origins: share_fails(origins, "reset"),
    "hole": hole,
    "stopped": stopped,
    "rolling": rolling,
    "outage": outage,
    "stall": lambda origins: share_fails(origins, "stall", 0.05),
}


async def measure(peer, breaks, folder):
    """One scenario: what was asked, sent, failed and waited for; and how even the shares are afterwards."""
    origins = Origins(folder)
    try:
        for at in range(ORIGINS):
            origins.start(at)
        port = free_ports(1)[0]
        setup = Setup(folder=folder, port=port, backends=tuple(f"127.0.0.1:{p}" for p in origins.ports))
        command, environment = peer.command(setup)
        with Process(command, None, folder, environment) as proxy:
            proxy.wait_for(port, lambda port: answers(port, "/"))
            before = sum(origins.asked())
            load = Load(port, RATE)
            running = asyncio.create_task(load.run())
            await asyncio.sleep(1)
            broken = time.monotonic()
            await SCENARIOS[breaks](origins)
            mended = time.monotonic()
            await asyncio.sleep(CALM)
            start = origins.asked()
            await asyncio.sleep(CALM)
            shares = [end - begin for begin, end in zip(start, origins.asked())]
            load.stop()
            asked = await running
            for at in range(ORIGINS):
                origins.note(at)
            return result(load, asked, origins.gone, before, (broken, mended), shares)
    finally:
        origins.close()


def result(load, asked, counts, before, span, shares):
    broken, mended = span
    samples = load.samples
    failed = [s for s in samples if s.failed]
    times = sorted(s.took for s in samples if broken <= s.at < mended)
    calm = sorted(s.took for s in samples if mended + CALM <= s.at)
    return {
        "asked": asked,
        "get_failed": sum(s.method == "GET" for s in failed),
        "post_failed": sum(s.method == "POST" for s in failed),
        "failed_after": sum(s.at > mended + 0.2 for s in failed),
        "post_twice": sum(counts["ids"].get(name, 0) > 1 for name in load.posts),
        "waited": sum(s.took > WAITED for s in samples),
        "sent": round((counts["asked"] - before) / asked, 3),
        "p99_ms": round(1000 * times[len(times) * 99 // 100], 1),
        "p99_calm_ms": round(1000 * calm[len(calm) * 99 // 100], 1),
        "share_least": round(min(shares) * ORIGINS / max(1, sum(shares)), 2),
        "share_most": round(max(shares) * ORIGINS / max(1, sum(shares)), 2),
    }


def arguments():
    parser = argparse.ArgumentParser(prog="bench/living", description="What clients notice when backends fail; see bench/README.md.")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--peers", default=",".join(peer.name for peer in PEERS), help=f"of {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--json", action="store_true", help="a line for each, for programs")
    return parser.parse_args()


COLUMNS = {
    "get_failed": "GET failed", "post_failed": "POST failed", "failed_after": "failed after", "post_twice": "POST twice",
    "waited": "waited", "sent": "sent/asked", "p99_ms": "p99 ms", "p99_calm_ms": "p99 ms in the calm after", "share_least": "least share", "share_most": "most share",
}


def main():
    wanted = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers = [peer for peer in PEERS if peer.name in wanted.peers.split(",")]
    if not wanted.json:
        print("| scenario | proxy | " + " | ".join(COLUMNS.values()) + " |")
        print("| --- " * (2 + len(COLUMNS)) + "|")
    for name in wanted.scenarios.split(","):
        for peer in peers:
            if lacking := peer.missing():
                print(f"{peer.name}: {lacking}", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)
                figures = asyncio.run(measure(peer, name, Path(folder)))
            if wanted.json:
                print(json.dumps({"scenario": name, "proxy": peer.name, **figures}))
            else:
                print(f"| {name} | {peer.name} | " + " | ".join(str(figures[key]) for key in COLUMNS) + " |")


main()
