"""Compares two Waypost binaries by the instructions per request. Started by bench/check; see README.md."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import certificates
from loads import LOAD
from measure import build_load, plain
from peers import backends
from processes import Process, answers, free_ports
from scenarios import BODIES, SMALL
from waypost import FRESH, ROUTER, listener


@dataclass(frozen=True)
class Case:
    """What is asked, so often."""

    name: str
    # The host part, which chooses the policies; see config().
    policies: str = "random"
    path: str = "/small"
    more: tuple[str, ...] = ()
    # Times the usual number of requests.
    share: float = 1.0
    tls: bool = False


CASES = [
    Case("native choice", "native"),
    Case("random"),
    Case("default policies", "default"),
    Case("header-router and random", "router"),
    Case("least-loaded", "least"),
    Case("fresh instance", "fresh", share=0.25),
    Case("new connection", more=("--close", "yes"), share=0.25),
    Case("10 KiB body", path="/10k", share=0.5),
    Case("16 KiB upload", more=("--upload", "16384"), share=0.5),
]
TLS, H2 = ("--tls", "yes"), ("--protocol", "h2")
PROTOCOLS = [
    Case("TLS", more=TLS, tls=True),
    Case("TLS, 10 KiB body", path="/10k", more=TLS, share=0.5, tls=True),
    Case("TLS, new connection", more=(*TLS, "--close", "yes"), share=0.05, tls=True),
    Case("h2c", more=H2),
    Case("HTTP/2 over TLS", more=(*TLS, *H2), tls=True),
    Case("HTTP/2 over TLS, 10 KiB body", path="/10k", more=(*TLS, *H2), share=0.5, tls=True),
]


def main():
    parser = argparse.ArgumentParser(
        prog="bench/check",
        description="Exit code 1 if NEW takes more instructions per request than OLD in any case, 2 if it can't be told.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="a waypost binary")
    parser.add_argument("new", type=Path, metavar="NEW", help="another")
    parser.add_argument("--percent", type=float, default=2.0, help="how much more is let pass (2)")
    parser.add_argument("--requests", type=int, default=2000, help="counted in each case (2000)")
    parser.add_argument("--keep", type=Path, help="a folder for callgrind's files")
    parser.add_argument("--top", type=int, default=0, help="so many functions of NEW, with their own instructions per request")
    parser.add_argument("--protocols", action="store_true", help="TLS and HTTP/2 too, which both have to speak")
    options = parser.parse_args()
    options.cases = [*CASES, *(PROTOCOLS if options.protocols else [])]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    needed = [("valgrind", "valgrind"), ("callgrind_control", "valgrind"), ("nginx", "nginx")]
    for program, package in [*needed, *([("openssl", "openssl")] if options.protocols else [])]:
        if not shutil.which(program):
            return undecided(f"`{program}` is not on the PATH (Debian: apt install {package})")
    for binary in [options.old, options.new]:
        if not binary.is_file():
            return undecided(f"{binary} is not there")
    build_load([])
    try:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            old, new = (count_all(folder, side, getattr(options, side), options) for side in ("old", "new"))
            for number, case in enumerate(options.cases if options.top else []):
                print(f"{case.name}, new:")
                for name, count in functions(folder / "new", number).most_common(options.top):
                    print(f"{count / times(case, options):>10,.0f}  {name}")
    except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
        # Not what valgrind says about itself.
        return undecided(plain(re.sub(r"==\d+==[^\n]*", "", str(failure))))
    return compared(old, new, options.percent)


def undecided(why):
    print(f"check: {why}", file=sys.stderr)
    return 2


def compared(old, new, percent):
    """Prints the table, gives the exit code."""
    worse = []
    print(f"{'instructions per request':<30}{'old':>10}{'new':>10}{'more':>10}")
    for name, before in old.items():
        more = (new[name] / before - 1) * 100
        print(f"{name:<30}{before:>10,.0f}{new[name]:>10,.0f}{more:>+9.2f} %")
        if more > percent:
            worse.append(name)
    if worse:
        print(f"More than {percent:g} % more: {', '.join(worse)}.")
        return 1
    print(f"Nothing takes more than {percent:g} % more.")
    return 0


def count_all(folder, side, binary, options):
    """Instructions per request by case, of the thread that serves."""
    home = folder / side
    home.mkdir()
    served = home / "served"
    served.mkdir()
    port, encrypted, admin, *ports = free_ports(7)
    addresses = [f"127.0.0.1:{other}" for other in ports]
    command, environment = backends(served, addresses, SMALL, BODIES)
    certificate = certificates.make(home, "ecdsa", "random.bench.test") if options.protocols else None
    (home / "waypost.toml").write_text(config(port, encrypted, admin, addresses, certificate))
    valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--fair-sched=try", "--compress-strings=no", f"--callgrind-out-file={home}/counted"]
    valgrind += [str(binary.absolute()), "run", "--config", str(home / "waypost.toml")]
    found = {}
    # On one CPU, and nobody interrupts the proxy when it sends something: whether an answer is already there when it
    # looks, which spares it a wait, must not depend on what else the machine does.
    cpus = {max(os.sched_getaffinity(0))}
    origin = Process(command, cpus, served, environment)
    origin.patient = True
    with origin:
        origin.wait_for(ports[0], answers)
        with Process(valgrind, cpus, home, {"WAYPOST_LOG": "warn", "WAYPOST_COMPILE_HERE": "1"}) as proxy:
            # Compiling takes so long here that it serves before all policies are loaded, and would be counted.
            proxy.wait_for(admin, lambda port: answers(port, "/readyz", "localhost"), patience=300)
            try:
                for number, case in enumerate(options.cases):
                    requests = times(case, options)
                    print(f"{side}: {case.name}", file=sys.stderr)
                    # Until pools are filled and buffers have grown.
                    asked = encrypted if case.tls else port
                    ask(asked, case, requests // 4 + 10, cpus, home)
                    control(proxy, home, "--zero")
                    ask(asked, case, requests, cpus, home)
                    control(proxy, home, f"--dump=case{number}")
                    found[case.name] = counted(home, number) / requests
            except RuntimeError as failure:
                said = proxy.log.read_text(errors="replace").strip()[-2000:]
                raise RuntimeError(f"{failure}. The proxy said: {said}") from failure
    if options.keep:
        shutil.copytree(home, options.keep / side, ignore=lambda *_: ["served"], dirs_exist_ok=True)
    return found


def config(port, encrypted, admin, addresses, certificate):
    """A host for each set of policies. Limits, statistics and all else as they are by default."""
    listen = f'listen = "127.0.0.1:{port}"'
    if certificate:
        listen = f"{listener(port)}\n{listener(encrypted, certificate)}"
    backends = ", ".join(f'"{address}"' for address in addresses)
    sets = {
        "native": "[]", "random": '["random"]', "router": '["router", "random"]', "least": '["least-loaded"]', "fresh": '["fresh"]',
    }
    routes = "\n".join(
        f'[[routes]]\nhost = "{name}.bench.test"\npool = "pool"\npolicies = {policies}' for name, policies in sets.items()
    )
    text = f"""
workers = 1
{listen}
[policies.random]
builtin = "random"
[policies.range]
builtin = "range"
[policies.least-loaded]
builtin = "least-loaded"
[admin]
listen = "127.0.0.1:{admin}"
[hosts]
"*" = [{backends}]
[pools.pool]
backends = [{backends}]
{ROUTER}
{FRESH}
{routes}
"""
    # Calls take many times longer here, and a policy must not be stopped for that.
    return re.sub(r"^(builtin = .*)$", r'\1\ndeadline = "10s"', text, flags=re.MULTILINE)


def ask(port, case, requests, cpus, home):
    command = [str(LOAD), "count", "--target", f"127.0.0.1:{port}", "--host", f"{case.policies}.bench.test"]
    load = Process([*command, "--path", case.path, "--requests", str(requests), *case.more], cpus, home)
    load.patient = True
    with load:
        try:
            load.line(300)
        except RuntimeError as failure:
            raise RuntimeError(f"{case.name}: {failure}") from failure


def control(proxy, home, what):
    command = ["callgrind_control", what, str(proxy.process.pid)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=home)
    if said.returncode != 0 or "OK" not in said.stdout:
        raise RuntimeError(f"callgrind_control {what}: {said.stdout} {said.stderr}")


def times(case, options):
    return max(int(options.requests * case.share), 1)


def dump(home, number):
    """The counts of the busiest thread in a dump: one worker serves, the others tick now and then."""
    found = {0: ""}
    for file in home.glob("counted.*-*"):
        text = file.read_text(errors="replace")
        total = re.search(r"^summary: (\d+)", text, re.MULTILINE)
        if total and f"Trigger: dump case{number}\n" in text:
            found[int(total.group(1))] = text
    return max(found.items())


def counted(home, number):
    most, _ = dump(home, number)
    if not most:
        raise RuntimeError("callgrind wrote no counts")
    return most


def functions(home, number):
    """Each function's own instructions, without those of what it calls."""
    _, text = dump(home, number)
    counts, name, called = Counter(), "", False
    for line in text.splitlines():
        cost = re.match(r"[+\-*\d]\S* (\d+)$", line)
        if line.startswith("fn="):
            name = line.removeprefix("fn=")
        elif line.startswith("calls="):
            called = True
        elif cost:
            # The line after a call has what the called function took.
            counts[name] += 0 if called else int(cost.group(1))
            called = False
    return counts


if __name__ == "__main__":
    sys.exit(main())
