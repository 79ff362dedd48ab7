"""What the samples come to, as Markdown."""

import platform
import re
import statistics
import subprocess
from datetime import date
from pathlib import Path

from processes import TICKS

ROOT = Path(__file__).resolve().parent.parent


def progress(sample):
    """A line for the person who waits."""
    return (
        f"{sample.scenario} round {sample.round} {sample.peer:>8}: {sample.cpu:7.2f} us/request "
        f"({sample.user:.2f} user, {sample.system:.2f} system), {sample.requests / sample.seconds:8.0f} requests/s, "
        f"{sample.busy:4.0%} busy, {sample.errors} errors"
    )


def write(samples, peers, scenarios, heads, notes, options):
    parts = ["# Results", *about(peers, notes, options)]
    for scenario in scenarios:
        parts.append(f"## `{scenario.name}`: {scenario.told}")
        parts.append(table([sample for sample in samples if sample.scenario == scenario.name], peers))
    parts.append("## What each peer passed on")
    told = "Recorded in this run, for `GET /small` with `Host: bench.test`: the head that a backend got, and the head that the"
    parts.append(f"{told} client got for an answer with `Server`, `Date` and `Content-Length`.")
    for peer in peers:
        request, answer = ("\n".join(head) for head in heads[peer.name])
        parts.append(f"{peer.name}:\n\n```http\n{request}\n\n{answer}\n```")
    return "\n\n".join(parts) + "\n"


def about(peers, notes, options):
    """The machine, the versions and the configuration."""
    lines = [
        f"- Date: {date.today().isoformat()}; commit {commit()}.",
        f"- Machine: {processor()}; Linux {re.match(r'[0-9.]*[0-9]', platform.release()).group(0)}.",
        "- Versions: " + ", ".join(peer.version() for peer in peers) + ".",
        *(f"- {peer.name}: {peer.told}." for peer in peers),
        f"- {options.rounds} rounds of {options.seconds} s after {options.warm_up} s of warm-up, peers alternating, "
        "a fresh process each time, one worker each, 4 backends.",
        *(f"- {note}" for note in notes),
    ]
    told = (
        "Written by `bench/run`; `bench/README.md` says what is measured. CPU is microseconds per request, user and "
        "system, of the proxy's whole process tree. Values are medians over the rounds; the range in brackets is from "
        "the lowest to the highest. The ratio compares each round with the baseline's sample of the same round."
    )
    return [told, "\n".join(lines)]


def table(samples, peers):
    baseline = {sample.round: sample.cpu for sample in samples if sample.peer == peers[0].name}
    rows = [
        f"| proxy | CPU us/request | user | system | ratio to {peers[0].name} | requests/s | busy | p50 us | p99 us "
        "| peak MiB | errors |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for peer in peers:
        own = [sample for sample in samples if sample.peer == peer.name]
        ratios = [sample.cpu / baseline[sample.round] for sample in own if baseline[sample.round] > 0]
        cells = [
            peer.name,
            spread([sample.cpu for sample in own], 1),
            middle([sample.user for sample in own], 1),
            middle([sample.system for sample in own], 1),
            "1" if peer is peers[0] else spread(ratios, 2),
            middle([sample.requests / sample.seconds for sample in own], 0),
            middle([100 * sample.busy for sample in own], 0) + " %",
            middle([sample.p50 for sample in own], 0),
            middle([sample.p99 for sample in own], 0),
            middle([sample.memory / 2**20 for sample in own], 1),
            str(sum(sample.errors for sample in own)),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    rows.extend(warnings(samples))
    return "\n".join(rows)


def warnings(samples):
    """What makes a table less than it seems, each as a line below it."""
    found = []
    if failed := sum(sample.errors for sample in samples):
        found.append(f"{failed} requests failed or got another status than 2xx or 3xx: the table compares unlike work.")
    coarse = min(samples, key=lambda sample: sample.requests * sample.cpu)
    if coarse.requests * coarse.cpu / 1e6 * TICKS < 50:
        found.append("The kernel counts CPU time in ticks, and a sample has fewer than 50: measure for longer.")
    return [f"\n**{line}**" for line in found]


def middle(values, digits):
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def spread(values, digits):
    if not values:
        return "-"
    return f"{middle(values, digits)} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def processor():
    """The processor's name, the number of CPUs, and the memory."""
    text = Path("/proc/cpuinfo").read_text()
    # Not every architecture names its model.
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    memory = int(re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE).group(1))
    count = text.count("processor\t:")
    return f"{model.group(1) if model else platform.machine()}, {count} CPUs, {memory / 2**20:.0f} GiB"


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
