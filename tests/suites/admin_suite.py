"""The admin API against its description: schemathesis asks what docs/admin-api.yaml permits, and more."""

import contextlib
import json
import shutil
import subprocess

from outcome import Result, Suite, Unavailable

# The same questions each time.
SEED = "1"
# Names and addresses of the proxy that is asked, which are the examples of the description.
CONFIGURATION = """
listen = "127.0.0.1:{proxy}"
[admin]
listen = "127.0.0.1:{admin}"
[[routes]]
pool = "app"
policies = ["random"]
[pools.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
"""


def run(context):
    from peers import REPOSITORY

    if context.peer is None or context.peer.name != "waypost":
        raise Unavailable("it is waypost's API")
    report = context.folder / "report.ndjson"
    with waypost(context) as admin:
        command = [
            shutil.which("schemathesis"),
            "--config-file",
            str(configuration(context.folder)),
            "run",
            str(REPOSITORY / "docs/admin-api.yaml"),
            "--url",
            f"http://127.0.0.1:{admin}",
            # It would leave, and another process answer.
            "--exclude-path",
            "/upgrade",
            "--max-examples",
            "40",
            "--seed",
            SEED,
            "--phases",
            "examples,coverage,fuzzing",
            # What an address or a label may be is more than a schema says: that may be refused.
            "--exclude-checks",
            "positive_data_acceptance",
            "--request-timeout",
            "60",
            "--report-ndjson-path",
            str(report),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, cwd=context.folder)
    operations = sorted(tested(report))
    results = [Result(name) for name in operations]
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        results.append(Result("description", f"schemathesis ended with {done.returncode}", tuple(lines[-80:])))
    if len(operations) < 20:
        results.append(Result("operations", f"only {len(operations)} were tested"))
    return results


def configuration(folder):
    """None of the tool's own: no hooks, no telemetry."""
    path = folder / "schemathesis.toml"
    path.write_text("")
    return path


def tested(report):
    """The operations of which the tool has reported something."""
    found = set()
    for line in report.read_text().splitlines():
        text = json.dumps(json.loads(line))
        for method in ("GET", "PUT", "POST", "DELETE"):
            for piece in text.split(f'"{method} /')[1:]:
                found.add(f"{method} /{piece.split(chr(34))[0]}")
    return found


@contextlib.contextmanager
def waypost(context):
    from processes import Process, free_ports, listens

    proxy, admin = free_ports(2)
    text = CONFIGURATION.format(proxy=proxy, admin=admin)
    (context.folder / "waypost.toml").write_text(text)
    command = [str(context.peer.binary), "run", "--config", "waypost.toml"]
    with Process(command, None, context.folder, {"WAYPOST_LOG": "error"}) as process:
        process.wait_for(admin, listens)
        yield admin


SUITES = [
    Suite(
        "admin-api",
        "admin",
        "the admin API, as docs/admin-api.yaml describes it",
        run,
        {"schemathesis": "schemathesis (PyPI: `pip install schemathesis==4.32.5`)"},
    )
]
