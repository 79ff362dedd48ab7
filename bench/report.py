"""What the samples come to, as Markdown."""

import itertools
import platform
import re
import statistics
import subprocess
from datetime import date
from pathlib import Path

from processes import TICKS
from samples import Departure, Latency, Memory
from scenarios import FAMILIES, LEFT_STREAMS, PLAIN, PROTOCOLS, SCENARIOS
from targets import targets

ROOT = Path(__file__).resolve().parent.parent
# What ratios are taken to, where it was measured.
BASES = ("nginx", "haproxy", "waypost-native")
# The tables of ratios: what comes behind "CPU per request", and the scenarios.
MATRICES = (
    ("", PLAIN),
    (" over TLS", [scenario for scenario in PROTOCOLS if scenario.tls and scenario.protocol == "http/1.1"]),
    (" by HTTP/2", [scenario for scenario in PROTOCOLS if scenario.protocol == "h2" and scenario.upstream == "http/1.1"]),
    (", calls and WebSocket messages", [scenario for scenario in PROTOCOLS if scenario.upstream != "http/1.1"]),
)
MIB = 2**20


def progress(scenario, found):
    """A line for the person who waits."""
    start = f"{scenario.name} turn {found.turn + 1} {found.peer:>20}: "
    if isinstance(found, Latency):
        return start + f"{found.rate:8.0f} requests/s, p50 {found.p50} us, p99 {found.p99} us, p99.9 {found.p999} us, {found.errors} errors"
    if isinstance(found, Departure):
        return start + f"{found.alone:8.0f} requests/s alone, {found.beside:8.0f} beside one that leaves, {found.errors} errors"
    if isinstance(found, Memory):
        return start + f"idle {found.idle / MIB:.1f} MiB, with {found.held:,} connections {found.full / MIB:.1f} MiB"
    return start + (
        f"{found.cpu:7.2f} us/request ({found.user:.2f} user, {found.system:.2f} system), {found.rate:8.0f} requests/s, "
        f"{found.busy:4.0%} busy, {found.errors} errors"
    )


def write(results, peers, scenarios, heads, notes, options, drawn):
    parts = ["# Results", *about(peers, notes, options), *failed(results), *reached(results)]
    parts += [f"![{told}](plots/{name})" for name, told in drawn]
    parts += matrix(results, peers, scenarios) + growth(results, peers) + latencies(results, peers)
    parts += departures(results, peers) + memory(results, peers)
    for scenario in scenarios:
        samples = [sample for sample in results.samples if sample.scenario == scenario.name]
        if samples:
            parts += [f"## `{scenario.name}`: {scenario.told}", table(results, scenario, samples, peers)]
    parts.append("## What each peer passed on")
    told = "Recorded in this run, for `GET /small` with `Host: h0.bench.test`: the head that a backend got, and the head that the"
    parts.append(f"{told} client got for an answer with `Server`, `Date` and `Content-Length`.")
    alike = {}
    for peer in peers:
        if peer.name in heads:
            request, answer = ("\n".join(head) for head in heads[peer.name])
            alike.setdefault(f"{request}\n\n{answer}", []).append(peer.name)
    parts += [f"{', '.join(names)}:\n\n```http\n{text}\n```" for text, names in alike.items()]
    return "\n\n".join(parts) + "\n"


def about(peers, notes, options):
    """The machine, the versions and the configuration."""
    versions = dict.fromkeys(peer.version() for peer in peers)
    lines = [
        f"- Date: {date.today().isoformat()}; commit {commit()}.",
        f"- Machine: {processor()}; Linux {re.match(r'[0-9.]*[0-9]', platform.release()).group(0)}.",
        "- Versions: " + ", ".join(versions) + ".",
        *(f"- {peer.name}: {peer.told}." for peer in peers),
        f"- {options.rounds} rounds, {options.seconds} s for each measurement after {options.warm_up:g} s of warm-up, peers "
        "alternating, a fresh process each time, one worker each and 4 backends unless a scenario says otherwise.",
        *(f"- {note}" for note in notes),
    ]
    told = (
        "Written by `bench/run`; [README.md](README.md) says what is measured. CPU is microseconds per request, user and "
        "system, of the proxy's whole process tree. Values are medians over the turns; the range in brackets is from "
        "the lowest to the highest. A ratio compares each turn with the other proxy's sample of the same turn."
    )
    if (ROOT / "bench" / "FINDINGS.md").is_file():
        told += " [FINDINGS.md](FINDINGS.md) says where the time goes and what was tried."
    return [told, "\n".join(lines)]


def failed(results):
    if not results.failures:
        return []
    lines = [f"- {failure.peer}, {failure.scenario}: {failure.why}" for failure in results.failures]
    return ["## What failed", "\n".join(lines)]


def reached(results):
    rows = [target.row() for target in targets(results)]
    told = "What a single call of a policy costs is measured by `cargo bench`; see [README.md](README.md)."
    return ["## Targets", markdown(["", "target", "measured", "reached"], rows), told]


def matrix(results, peers, scenarios):
    """The ratios of all scenarios at a glance, one table for each base."""
    parts = []
    for (what, members), base in itertools.product(MATRICES, BASES):
        shown = [scenario for scenario in scenarios if scenario in members and results.of(scenario.name, base)]
        if not shown:
            continue
        rows = []
        for peer in peers:
            cells = [middle(results.ratios(scenario.name, peer.name, base), 2) for scenario in shown]
            if peer.name != base and any(cell != "-" for cell in cells):
                rows.append([peer.name, *cells])
        if rows:
            parts += [f"## CPU per request{what}, ratio to {base}", markdown(["proxy", *(scenario.name for scenario in shown)], rows)]
    return parts


def growth(results, peers):
    parts = []
    for family, (counted, values) in FAMILIES.items():
        rows = []
        for peer in peers:
            least = f"{family}-{values[0]}"
            ratios = [results.ratios(f"{family}-{value}", peer.name, peer.name, least) for value in values[1:]]
            if any(ratios):
                first = spread(results.cpu(least, peer.name), 1)
                rows.append([peer.name, first, *(spread(ratio, 2) for ratio in ratios)])
        if rows:
            heading = ["proxy", f"us/request with {values[0]:,}", *(f"{value:,} over {values[0]:,}" for value in values[1:])]
            parts += [f"## How the cost grows with {counted}", markdown(heading, rows)]
    return parts


def latencies(results, peers):
    rows = []
    for peer in peers:
        own = [found for found in results.latencies if found.peer == peer.name]
        if own:
            cells = [spread([getattr(found, name) for found in own], 0) for name in ("p50", "p99", "p999")]
            most = f"{max(found.most for found in own):,}"
            rows.append([peer.name, middle([found.rate for found in own], 0), *cells, most, str(sum(found.errors for found in own))])
    if not rows:
        return []
    told = (
        "Open loop over 64 connections: a request is sent when it is due, whether or not others were answered, and its latency "
        "counts from then. The rate is half of what the same peer reached in `keepalive-64`, where the load or the backends may have been the limit."
    )
    heading = ["proxy", "requests/s", "p50 us", "p99 us", "p99.9 us", "most us", "errors"]
    return ["## Latency at half of the peak rate", told, markdown(heading, rows)]


def departures(results, peers):
    rows = []
    for peer in peers:
        own = [found for found in results.departures if found.peer == peer.name]
        if own:
            alone, beside = ([getattr(found, name) for found in own] for name in ("alone", "beside"))
            lost = spread([100 * found.lost for found in own], 1)
            rows.append([peer.name, middle(alone, 0), middle(beside, 0), lost, str(sum(found.errors for found in own))])
    if not rows:
        return []
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.kind == "leave")
    told = (
        f"`{scenario.name}`: {scenario.told}, over {scenario.connections} connections with {LEFT_STREAMS} streams each, without "
        "reading the answers. Requests per second are those of the others."
    )
    heading = ["proxy", "requests/s alone", "beside it", "less %", "errors"]
    return ["## A client that leaves", told, markdown(heading, rows)]


def memory(results, peers):
    rows = []
    for scenario, peer in itertools.product(SCENARIOS, peers):
        own = [found for found in results.memory if (found.scenario, found.peer) == (scenario.name, peer.name)]
        if own:
            each = [(found.full - found.idle) / found.held / 1024 for found in own]
            cells = [spread([found.idle / MIB for found in own], 1), spread([found.full / MIB for found in own], 1), spread(each, 2)]
            rows.append([scenario.name, peer.name, *cells, f"{own[0].held:,}"])
    if not rows:
        return []
    told = (
        "Two workers. Proportional set size of the process tree: pages that processes share are counted once. Idle after one request; "
        "then with so many connections that had one request each and are kept. What the kernel keeps for a socket is not in it."
    )
    heading = ["scenario", "proxy", "idle MiB", "with connections MiB", "KiB each", "connections"]
    return ["## Memory", told, markdown(heading, rows)]


def table(results, scenario, samples, peers):
    bases = [base for base in BASES if results.of(scenario.name, base)]
    heading = ["proxy", "CPU us/request", "user", "system", *(f"/ {base}" for base in bases)]
    heading += ["requests/s", "busy", "p50 us", "p99 us", "peak MiB", "errors"]
    rows = []
    for peer in peers:
        own = results.of(scenario.name, peer.name)
        if not own:
            continue
        ratios = ["1" if base == peer.name else spread(results.ratios(scenario.name, peer.name, base), 2) for base in bases]
        rows.append([
            peer.name,
            spread([sample.cpu for sample in own], 1),
            middle([sample.user for sample in own], 1),
            middle([sample.system for sample in own], 1),
            *ratios,
            middle([sample.rate for sample in own], 0),
            middle([100 * sample.busy for sample in own], 0) + " %",
            middle([sample.p50 for sample in own], 0),
            middle([sample.p99 for sample in own], 0),
            middle([sample.memory / MIB for sample in own], 1),
            str(sum(sample.errors for sample in own)),
        ])
    return "\n".join([markdown(heading, rows), *warnings(samples)])


def warnings(samples):
    """What makes a table less than it seems, each as a line below it."""
    found = []
    if wrong := sum(sample.errors for sample in samples):
        found.append(f"{wrong} requests failed or got another status than 2xx or 3xx: the table compares unlike work.")
    coarse = min(samples, key=lambda sample: sample.requests * sample.cpu)
    if coarse.requests * coarse.cpu / 1e6 * TICKS < 30:
        found.append("The kernel divides CPU time into user and system by ticks, and a sample has fewer than 30.")
    return [f"\n**{line}**" for line in found]


def markdown(heading, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in [heading, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(heading), *lines[1:]])


def middle(values, digits):
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def spread(values, digits):
    if len(values) < 2:
        return middle(values, digits)
    return f"{middle(values, digits)} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def processor():
    """The processor's name, the number of CPUs, and the memory."""
    text = Path("/proc/cpuinfo").read_text()
    # Not every architecture names its model.
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    total = int(re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE).group(1))
    count = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return f"{model.group(1) if model else platform.machine()}, {count} CPUs, {total / 2**20:.0f} GiB"


def commit():
    """The commit that the sources are at, and whether they were changed since."""
    try:
        said = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )
        return said.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
