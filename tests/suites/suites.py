"""Runs public conformance suites against a waypost binary. Started by tests/suites/run; see README.md."""

import argparse
import re
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from admin_suite import SUITES as ADMIN
from beside_suite import SUITES as BESIDE
from forward_suite import SUITES as FORWARD
from grpc_suite import SUITES as GRPC
from http2_suite import SUITES as HTTP2
from outcome import Suite, Unavailable
from page_suite import SUITES as PAGE
from peers import REPOSITORY, peer_named
from tls_suite import SUITES as TLS
from websocket_suite import SUITES as WEBSOCKET

HERE = Path(__file__).resolve().parent
SUITES = [*ADMIN, *HTTP2, *GRPC, *WEBSOCKET, *FORWARD, *PAGE, *BESIDE, *TLS]


@dataclass(frozen=True)
class Context:
    """What a suite is given: the proxy to run, a folder of its own, and for how long it waits for what should come."""

    peer: object
    folder: Path
    patience: float


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/suites/run",
        description="Runs public conformance suites against a proxy; see tests/suites/README.md.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a suite, or the beginning of some; default: all")
    parser.add_argument(
        "--binary", type=Path, default=REPOSITORY / "target/debug/waypost", help="default: target/debug/waypost"
    )
    peers = ["waypost", "nginx", "haproxy", "none"]
    parser.add_argument("--peer", default="waypost", choices=peers, help="what is tested; default: waypost")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds that a case waits for what should come")
    parser.add_argument("--list", action="store_true", help="the suites, and what is missing to run them")
    parser.add_argument("--cases", action="store_true", help="print each case, also those that passed")
    options = parser.parse_args()
    options.suites = [
        suite for suite in SUITES if not options.names or any(suite.name.startswith(name) for name in options.names)
    ]
    for name in options.names:
        if not any(suite.name.startswith(name) for suite in SUITES):
            parser.error(f"there is no suite {name!r}; there are {', '.join(suite.name for suite in SUITES)}")
    return options


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.list:
        for suite in options.suites:
            print(f"{suite.name:26} {suite.about}{''.join(f'; needs {how}' for how in suite.missing())}")
        return 0
    try:
        peer = peer_named(options.peer, options.binary.absolute())
    except RuntimeError as failure:
        sys.exit(f"tests/suites/run: {failure}")
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text()) if options.peer == "waypost" else {}
    scores = [scored(suite, peer, exceptions.get(suite.family, {}), options) for suite in options.suites]
    print()
    print(table(scores))
    return 1 if any(score.failed() for score in scores) else 0


@dataclass(frozen=True)
class Score:
    suite: Suite
    passed: int = 0
    # Failures with a reason in exceptions.toml, and others; what should have failed, but passed.
    excepted: int = 0
    unexpected: int = 0
    stale: int = 0
    seconds: float = 0.0
    # Why it did not run, or did not come to its end.
    skipped: str = ""
    broken: str = ""

    def failed(self):
        return self.unexpected > 0 or self.stale > 0 or bool(self.broken)


def scored(suite, peer, exceptions, options):
    """Runs a suite and prints what failed."""
    print(f"=== {suite.name}: {suite.about}", flush=True)
    if missing := suite.missing():
        why = "; ".join(missing)
        print(f"SKIPPED: {suite.name} needs {why}")
        return Score(suite, skipped=f"needs {why}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waypost-suite-") as folder:
        try:
            results = suite.run(Context(peer, Path(folder), options.patience))
            score = judged(suite, results, exceptions, options)
        except Unavailable as failure:
            print(f"SKIPPED: {suite.name}: {failure}")
            return Score(suite, skipped=str(failure))
        # Whatever it is: the other suites are run, and the table says it.
        except Exception as failure:  # noqa: BLE001
            traceback.print_exc()
            score = Score(suite, broken=(str(failure).splitlines() or [type(failure).__name__])[0])
    return replace(score, seconds=time.monotonic() - began)


def judged(suite, results, exceptions, options):
    passed = excepted = unexpected = 0
    stale = []
    for result in results:
        name = f"{result.case}: {result.title}" if result.title else result.case
        if not result.why:
            passed += 1
            if options.cases:
                print(f"passed   {name}")
            if result.case in exceptions:
                stale.append(result.case)
        elif reason := exception_for(result.case, exceptions):
            excepted += 1
            print(f"excepted {name}\n    {result.why}\n    exception: {reason}")
        else:
            unexpected += 1
            print("\n".join([f"FAILED   {name}", f"    {result.why}", *(f"    {line}" for line in result.details)]))
    for case in stale:
        print(f"STALE    {case} is in exceptions.toml, and passed")
    return Score(suite, passed, excepted, unexpected, len(stale))


def exception_for(case, exceptions):
    """The reason of a key that is the name of the case, or matches it with `*`."""
    for key, reason in exceptions.items():
        if re.fullmatch(".*".join(re.escape(part) for part in key.split("*")), case, re.DOTALL):
            return reason
    return None


def table(scores):
    """The scores, as lines of a table."""
    lines = [f"{'suite':26} {'passed':>9} {'excepted':>9} {'failed':>7} {'seconds':>8}"]
    for score in scores:
        if score.skipped:
            lines.append(f"{score.suite.name:26} SKIPPED: {score.skipped}")
        elif score.broken:
            lines.append(f"{score.suite.name:26} BROKEN: {score.broken}")
        else:
            of = score.passed + score.excepted + score.unexpected
            stale = f"  {score.stale} stale exceptions" if score.stale else ""
            lines.append(
                f"{score.suite.name:26} {f'{score.passed}/{of}':>9} {score.excepted:>9} {score.unexpected:>7}"
                f" {score.seconds:>8.1f}{stale}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
