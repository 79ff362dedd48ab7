"""The page of the admin listener in Chromium: live numbers, buttons, the login, what it is without a script."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from outcome import Result, Suite, Unavailable

CASES = Path(__file__).resolve().parent / "page" / "cases.mjs"
TOKEN = "a-token-of-some-length"
# A label that would be seen to be markup.
LABEL = "<img src=x onerror=document.title=1>"
# Of all cases together; each of them waits for what should come.
WHOLE = 300


def run(context):
    from backend import backend
    from peers import REPOSITORY
    from ws.chromium import browser

    if context.peer is None or context.peer.name != "waypost":
        raise Unavailable("it is waypost's page")
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    modules = target / "suites" / "page"
    if not (modules / "node_modules" / "playwright-core").is_dir():
        raise Unavailable("playwright-core is missing (`tests/suites/run --install`)")
    with contextlib.ExitStack() as stack:
        backends = [stack.enter_context(backend()) for _ in range(2)]
        proxy, opened, pid = stack.enter_context(waypost(context, "open", backends))
        _, guarded, _ = stack.enter_context(waypost(context, "guarded", backends))
        world = {
            "modules": str(modules),
            "browser": shutil.which(browser()),
            "patience": max(context.patience, 15),
            "open": f"http://127.0.0.1:{opened}",
            "guarded": f"http://127.0.0.1:{guarded}",
            "pid": pid,
            "proxy": f"http://127.0.0.1:{proxy}/",
            "token": TOKEN,
            "label": LABEL,
            "backends": [f"127.0.0.1:{port}" for port in backends],
            "component": str(REPOSITORY / "tests/guests/pick-last/pick-last.wasm"),
        }
        return results(world)


@contextlib.contextmanager
def waypost(context, name, backends):
    """A proxy in front of these; gives its port, its admin listener's and its process."""
    from processes import Process, free_ports, listens

    folder = context.folder / name
    folder.mkdir()
    proxy, admin = free_ports(2)
    token = f'token = "{TOKEN}"' if name == "guarded" else ""
    listed = ", ".join(f'{{ address = "127.0.0.1:{port}", labels = {{ zone = "{LABEL}" }} }}' for port in backends)
    (folder / "waypost.toml").write_text(f"""
listen = "127.0.0.1:{proxy}"
[admin]
listen = "127.0.0.1:{admin}"
{token}
[[routes]]
pool = "all"
policies = ["choice"]
[pools.all]
backends = [{listed}]
[policies.choice]
builtin = "random"
deadline = "5s"
""")
    command = [str(context.peer.binary), "run", "--config", "waypost.toml"]
    with Process(command, None, folder, {"WAYPOST_LOG": "warn"}) as process:
        for port in (proxy, admin):
            process.wait_for(port, listens)
        yield proxy, admin, process.process.pid


def results(world):
    command = ["node", str(CASES), json.dumps(world)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WHOLE, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [Result(one["case"], one["why"]) for one in said]
    if done.returncode != 0:
        found.append(Result("node", f"it ended with {done.returncode}", tuple(done.stderr.splitlines()[-5:])))
    return found


SUITES = [
    Suite(
        "page-chromium",
        "page",
        "the page of the admin listener in Chromium without a window",
        run,
        {},
        {"node": "Node.js (Debian: `apt install nodejs npm`)"},
    )
]
