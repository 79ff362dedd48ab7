"""What deploying a policy costs, and what a bad one can do. Started by bench/rollout; see README.md."""

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from processes import Process, answers, free_ports
from waypost import BINARY, REPOSITORY, build

HERE = Path(__file__).resolve().parent
LOAD = HERE / "target" / "release" / "load"
PROBE = REPOSITORY / "tests/guests/probe/probe.wasm"
FIRST = REPOSITORY / "tests/guests/pick-first/pick-first.wasm"
LAST = REPOSITORY / "tests/guests/pick-last/pick-last.wasm"
MEBIBYTE = 1 << 20

# What a policy does, told by a field of the request to the guest `probe`.
MISDEEDS = {
    "nothing": "none",
    "trap": "trap",
    "infinite loop": "loop",
    "deep recursion": "recurse",
    "memory to the limit": "allocate=64",
    "an index out of range": "pick=4000000000",
    "1,000 log lines": "log-flood=1000",
}


class Proxy:
    """A proxy in front of two origins, with an admin listener."""

    def __init__(self, folder, policies, routes, workers=2):
        self.folder, self.policies, self.routes, self.workers = folder, policies, routes, workers

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.port, self.admin, *origins = free_ports(4)
        for at, port in enumerate(origins):
            home = self.folder / f"origin-{at}"
            home.mkdir(exist_ok=True)
            origin = Process([str(BINARY), "origin", "--listen", f"127.0.0.1:{port}"], None, home)
            self.stack.enter_context(origin).wait_for(port, answers_page)
        backends = json.dumps([f"127.0.0.1:{port}" for port in origins])
        config = self.folder / "waypost.toml"
        config.write_text(
            f'listen = "127.0.0.1:{self.port}"\nworkers = {self.workers}\n[admin]\nlisten = "127.0.0.1:{self.admin}"\n'
            f'[pools.all]\nbackends = {backends}\n{self.policies}\n'
            + "\n".join(f'[[routes]]\nhost = "{host}"\npool = "all"\npolicies = {json.dumps(names)}' for host, names in self.routes)
        )
        command = [str(BINARY), "run", "--config", str(config)]
        self.process = Process(command, None, self.folder, {"WAYPOST_LOG": "warn"})
        self.stack.enter_context(self.process).wait_for(self.admin, is_ready)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", method=method, data=body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def resident(self):
        for line in Path(f"/proc/{self.process.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def load(self, host, rate, seconds, path="/image_user_one"):
        """An open-loop load that goes on in the background; `said()` waits for what it counted."""
        home = self.folder / f"load-{time.monotonic_ns()}"
        home.mkdir()
        command = [LOAD, "open", "--target", f"127.0.0.1:{self.port}", "--host", host, "--path", path,
                   "--rate", rate, "--seconds", seconds, "--warm-up", 1, "--connections", 16]
        return Process([str(word) for word in command], None, home)


def answers_page(port):
    return get_status(port, "/page_one") == 200


def is_ready(port):
    return get_status(port, "/readyz") == 200


def get_status(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status
    except (OSError, urllib.error.URLError):
        return None


class Hammer:
    """One kept connection that asks for one thing again and again."""

    def __init__(self, port, host, fields):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.good = f"HEAD /page_one HTTP/1.1\r\nHost: {host}\r\n".encode()
        self.bad = self.good + lines.encode()
        self.buffer = b""

    def strike(self, good=False):
        """Asks once; milliseconds until the answer, and its status."""
        began = time.perf_counter()
        self.connection.sendall((self.good if good else self.bad) + b"\r\n")
        while b"\r\n\r\n" not in self.buffer:
            more = self.connection.recv(65536)
            if not more:
                raise RuntimeError("the proxy closed the connection")
            self.buffer += more
        took = (time.perf_counter() - began) * 1000
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return took, int(head.split(b" ", 2)[1])


def swaps(folder, count):
    """`count` swaps under load: failures, the process's memory, and how long one takes to be everywhere."""
    policies = f'[policies.mine]\ncomponent = "{FIRST}"\ndeadline = "1s"'
    with Proxy(folder, policies, [("*", ["mine"])]) as proxy:
        components = [LAST.read_bytes(), FIRST.read_bytes()]
        took, early = [], None
        seconds = max(10.0, count * 0.02)
        with proxy.load("a.test", 1000, seconds) as load:
            time.sleep(1)
            until = time.monotonic() + seconds - 1
            done = 0
            while done < count or time.monotonic() < until:
                if done >= count:
                    break
                began = time.perf_counter()
                proxy.ask("PUT", "/policies/mine", components[done % 2])
                took.append((time.perf_counter() - began) * 1000)
                done += 1
                if done == 20:
                    early = proxy.resident()
            late = proxy.resident()
            said = load.line(seconds + 60)
        stats = proxy.ask("GET", "/stats")
    by_status = stats["requests"]["by_status"]
    return {
        "swaps": done, "requests": said["requests"], "errors": said["errors"],
        "not 200": sum(n for status, n in by_status.items() if status != "200"),
        "failure mode": stats["policies"]["mine"]["failure_mode_uses"],
        "early": early, "late": late, "growth": late / early - 1,
        "put p50": statistics.median(took), "put p99": quantile(took, 0.99), "put max": max(took),
    }


def many_policies(folder, counts):
    """Memory of the idle proxy with so many policies."""
    found = {}
    for count in counts:
        names = [f"p{at}" for at in range(count)]
        # Each its own name and settings; one component is compiled once, so these are also 100 different ones.
        policies = "\n".join(f'[policies.{name}]\ncomponent = "{distinct(folder, name)}"' for name in names)
        home = folder / f"many-{count}"
        home.mkdir()
        routes = [(f"h{at}.test", [name]) for at, name in enumerate(names)] or [("*", [])]
        began = time.monotonic()
        with Proxy(home, policies, routes) as proxy:
            found[count] = (proxy.process.memory(), time.monotonic() - began)
    return found


def distinct(folder, name):
    """A component of its own: the same code with another custom section, so that nothing is shared."""
    path = folder / f"{name}.wasm"
    note = b"\x04name" + name.encode()
    path.write_bytes(FIRST.read_bytes() + b"\x00" + bytes([len(note)]) + note)
    return path


def canary(folder):
    """How long a canary that traps lives after its first 20 requests, in milliseconds, and what its clients got."""
    policies = f'[policies.mine]\ncomponent = "{FIRST}"\ndeadline = "1s"'
    with Proxy(folder, policies, [("*", ["mine"])]) as proxy:
        proxy.ask("PUT", "/policies/mine?mode=canary&percent=100&by=request", PROBE.read_bytes())
        hammer = Hammer(proxy.port, "a.test", {"x-probe-select": "trap"})
        statuses = {hammer.strike()[1] for _ in range(20)}
        began = time.perf_counter()
        while proxy.ask("GET", "/policies/mine")["trial"] is not None:
            if time.perf_counter() > began + 10:
                raise RuntimeError("the canary was not withdrawn")
            time.sleep(0.002)
        gone = (time.perf_counter() - began) * 1000
        reason = proxy.ask("GET", "/policies/mine")["history"][0]["reason"]
    return {"withdrawn after": gone, "statuses": sorted(statuses), "reason": reason}


def shadow(folder):
    """What a shadow adds to a request, by the calls that it makes."""
    policies = f'[policies.mine]\ncomponent = "{FIRST}"\ndeadline = "1s"'
    with Proxy(folder, policies, [("*", ["mine"])]) as proxy:
        proxy.ask("PUT", "/policies/mine?mode=shadow", FIRST.read_bytes())
        with proxy.load("a.test", 1000, 5) as load:
            load.line(60)
        trial = proxy.ask("GET", "/policies/mine")["trial"]
    return trial


def containment(folder, seconds):
    """For each misdeed: how long its own requests take, and what a bystander's do meanwhile."""
    policies = (
        f'[policies.bad]\ncomponent = "{PROBE}"\nmemory = "8MiB"\non-failure = 503\n'
        f'[policies.good]\ncomponent = "{FIRST}"'
    )
    rows = []
    for name, action in MISDEEDS.items():
        home = folder / f"bad-{len(rows)}"
        home.mkdir()
        with Proxy(home, policies, [("bad.test", ["bad"]), ("good.test", ["good"])]) as proxy:
            before = proxy.resident()
            stop = threading.Event()
            took, calm, statuses = [], [], {}

            def strikes():
                hammer = Hammer(proxy.port, "bad.test", {"x-probe-select": action})
                while not stop.is_set():
                    milliseconds, status = hammer.strike()
                    took.append(milliseconds)
                    statuses[status] = statuses.get(status, 0) + 1
                    # 500 a second at most: a bystander shares its worker's core with them.
                    time.sleep(0.002)

            def spread():
                """A misdeed on a policy that is not suspended: good calls in between."""
                hammer = Hammer(proxy.port, "bad.test", {"x-probe-select": action})
                for _ in range(100):
                    calm.append(hammer.strike()[0])
                    for _ in range(12):
                        hammer.strike(good=True)

            spread()
            # A suspension of the first part must not show in the second.
            time.sleep(1)
            with proxy.load("good.test", 500, seconds) as load:
                hammering = threading.Thread(target=strikes)
                hammering.start()
                try:
                    said = load.line(seconds + 60)
                finally:
                    stop.set()
                    hammering.join()
            stats = proxy.ask("GET", "/stats")["policies"]["bad"]
            rows.append({
                "misdeed": name, "alone p50": statistics.median(calm), "alone max": max(calm),
                "p50": statistics.median(took), "p99": quantile(took, 0.99), "max": max(took), "statuses": statuses,
                "bystander p50": said["p50"] / 1e3, "bystander p99": said["p99"] / 1e3, "bystander errors": said["errors"],
                "faults": stats["traps"] + stats["deadlines"] + stats["invalid"], "suspensions": stats["suspensions"],
                "memory": stats["memory"]["now_bytes"], "growth": proxy.resident() - before,
            })
    return rows


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def write(found):
    s, c, t = found["swaps"], found["canary"], found["shadow"]
    lines = [
        "# What deploying costs, and what a bad policy can do",
        "",
        f"By `bench/rollout` on {platform.system()} {platform.machine()}, {found['cpus']} CPUs, {found['version']}, two workers. "
        "The load generator, the backends and the proxy share the machine, so latencies are of a busy one.",
        "",
        "## Swaps under load",
        "",
        f"- {s['swaps']:,} swaps by PUT under 1,000 requests a second: {s['requests']:,} requests, {s['errors']} errors, "
        f"{s['not 200']} answers other than 200, {s['failure mode']} requests by the failure mode.",
        f"- Resident memory after 20 swaps {s['early'] / MEBIBYTE:.1f} MiB, after all of them {s['late'] / MEBIBYTE:.1f} MiB "
        f"({s['growth'] * 100:+.1f} %; goal: within 10 %).",
        f"- From the PUT to its answer, which comes when all workers have the new policy: median {s['put p50']:.1f} ms, "
        f"99 % {s['put p99']:.1f} ms, longest {s['put max']:.1f} ms (goal: 100 ms).",
        "",
        "## Many policies",
        "",
        "| policies | memory of the idle proxy | start to ready |",
        "|---|---|---|",
        *(f"| {count} | {memory / MEBIBYTE:.1f} MiB | {seconds:.1f} s |" for count, (memory, seconds) in found["many"].items()),
        "",
        f"Each is a component of {FIRST.stat().st_size / 1000:.0f} KB of its own, none shared. Start to ready includes two origins.",
        "",
        "## A canary that traps",
        "",
        f"20 requests, all answered {c['statuses']}; withdrawn {c['withdrawn after']:.0f} ms after the twentieth (goal: 1,000 ms): \"{c['reason']}\".",
        "",
        "## A shadow",
        "",
        "| hook | compared | agreed | active, median | shadow, median |",
        "|---|---|---|---|---|",
        *(
            f"| {hook} | {h['compared']:,} | {h['agreed']:,} | {h['active_time']['p50_nanoseconds'] / 1000:.2f} us | "
            f"{h['shadow_time']['p50_nanoseconds'] / 1000:.2f} us |"
            for hook, h in t["hooks"].items()
        ),
        "",
        "## Containment",
        "",
        "A policy misbehaves in `select` (deadline 1 ms, memory 8 MiB, on-failure 503) as fast as one connection can ask, 500 times a second at most, "
        "while a bystander asks another route 500 times a second. \"Alone\" is the misdeed with twelve good requests after each, so that "
        "the policy is not suspended for long; goal: the deadline and 5 ms. Milliseconds.",
        "",
        "| misdeed | alone: median | longest | hammered: median | 99 % | longest | answers | bystander: median | 99 % | errors | faults | suspensions | memory after |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['misdeed']} | {r['alone p50']:.2f} | {r['alone max']:.2f} | {r['p50']:.2f} | {r['p99']:.2f} | {r['max']:.2f} | "
            f"{', '.join(f'{n:,} x {status}' for status, n in sorted(r['statuses'].items()))} | {r['bystander p50']:.2f} | {r['bystander p99']:.2f} | "
            f"{r['bystander errors']} | {r['faults']:,} | {r['suspensions']} | {r['memory'] / MEBIBYTE:.1f} MiB |"
            for r in found["containment"]
        ),
        "",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="bench/rollout", description=__doc__)
    parser.add_argument("--swaps", type=int, default=1000, help="how many swaps (default: 1000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each misdeed goes on (default: 5)")
    parser.add_argument("--output", default=str(HERE), help="folder for ROLLOUT.md; empty: nothing is written")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build()
    if not LOAD.is_file():
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "load"], cwd=HERE, stdout=sys.stderr, check=True)
    found = {"cpus": len(os.sched_getaffinity(0))}
    found["version"] = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="waypost-rollout-") as folder:
        def home(name):
            path = Path(folder) / name
            path.mkdir()
            return path

        for name, measure in [
            ("swaps", lambda at: swaps(at, options.swaps)),
            ("many", lambda at: many_policies(at, [0, 1, 100])),
            ("canary", canary),
            ("shadow", shadow),
            ("containment", lambda at: containment(at, options.seconds)),
        ]:
            print(name, file=sys.stderr)
            found[name] = measure(home(name))
    text = write(found)
    print(text)
    if options.output:
        (Path(options.output) / "ROLLOUT.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
