"""Waypost as a peer: its binary, and the configurations that are compared.

All of them have statistics, limits, time-outs and forwarded fields on, as they are by default, and the admin listener.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from peer import Setup, version_of
from processes import free_ports

REPOSITORY = Path(__file__).resolve().parent.parent
NAMED = os.environ.get("WAYPOST")
BINARY = Path(NAMED or REPOSITORY / "target/dist/waypost").absolute()

# One header read and one set, and the choice left to the next policy: what the filter for Envoy does together with `random`.
ROUTER = """
[policies.router]
builtin = "header-router"
[policies.router.settings]
header = "x-tenant"
[policies.router.settings.request.set]
x-bench = "policy"
"""
FRESH = """
[policies.fresh]
builtin = "random"
isolation = "request"
"""


class Waypost:
    """`policies`: what the routes name; None for the short form, `[hosts]`, which has the default ones."""

    def __init__(self, name, told, policies, sections=""):
        self.name, self.told, self.policies, self.sections = name, told, policies, sections

    def missing(self):
        if BINARY.is_file() and os.access(BINARY, os.X_OK):
            return None
        return "Waypost is not built (`cargo build --profile dist` makes it; the environment variable WAYPOST names another binary)"

    def version(self):
        return "Waypost " + version_of([BINARY, "--version"], r"(\d+\.\d+\.\d+\S*)")

    def command(self, setup: Setup):
        # Of two, because one may be the listener's, which nobody uses yet.
        admin = next(port for port in free_ports(2) if port != setup.port)
        config = setup.folder / "waypost.toml"
        config.write_text(f"""
workers = {setup.workers}
{self.listen(setup)}
[admin]
listen = "127.0.0.1:{admin}"
{self.sections}
{self.routes(setup)}
""")
        return [str(BINARY), "run", "--config", str(config)], {"WAYPOST_LOG": "warn"}

    def listen(self, setup):
        """A plain listener also speaks HTTP/2, by prior knowledge."""
        return listener(setup.port, setup.certificate) if setup.certificate else f'listen = "127.0.0.1:{setup.port}"'

    def routes(self, setup):
        addresses = json.dumps(list(setup.backends))
        if self.policies is None and not setup.policies:
            names = setup.host_names() or ["*"]
            return "[hosts]\n" + "\n".join(f'"{name}" = {addresses}' for name in names)
        lines = []
        for at, name in enumerate(setup.host_names() or ["*"]):
            policies = [f"p{at}"] if setup.policies else self.policies
            if setup.policies:
                lines.append(f'[policies.p{at}]\nbuiltin = "random"')
            lines.append(f'[[routes]]\nhost = "{name}"\npool = "pool"\npolicies = {json.dumps(policies)}')
        more = 'protocol = "h2c"' if setup.upstream == "h2c" else f"max-idle = {setup.crowd}" if setup.crowd else ""
        return "\n".join([*lines, f"[pools.pool]\nbackends = {addresses}\n{more}"])


class OneRoute(Waypost):
    """One route for all hosts: what requests for many hosts cost apart from the routes."""

    def routes(self, setup):
        route = f'[[routes]]\nhost = "*"\npool = "pool"\npolicies = {json.dumps(self.policies)}'
        return f"{route}\n[pools.pool]\nbackends = {json.dumps(list(setup.backends))}"


class WithMatches(Waypost):
    """Each host has routes that look at path, method, header and query, and the request is of the last one."""

    CONDITIONS = (
        'path = { exact = "/login" }',
        "path = { regex = '\\.(png|jpe?g)$' }",
        'methods = ["POST", "PUT"]',
        'headers = { x-beta = "on" }',
        'query = { debug = { present = true } }',
        "",
    )

    def routes(self, setup):
        policies = json.dumps(self.policies)
        lines = [
            f'[[routes]]\nhost = "{name}"\npool = "pool"\npolicies = {policies}\n{condition}'
            for name in setup.host_names() or ["*"]
            for condition in self.CONDITIONS
        ]
        return "\n".join([*lines, f"[pools.pool]\nbackends = {json.dumps(list(setup.backends))}"])


def listener(port, certificate=None):
    """The long form."""
    text = f'[[listeners]]\naddress = "127.0.0.1:{port}"'
    if certificate:
        pair = f"certificate = {json.dumps(str(certificate.certificate))}, key = {json.dumps(str(certificate.key))}"
        text += f"\ntls = {{ certificates = [{{ {pair} }}] }}"
    return text


def waypost_peers():
    return [
        Waypost("waypost-native", "`policies = []`: the host's own random choice, no WebAssembly", []),
        Waypost("waypost-random", "the built-in `random` component", ["random"]),
        OneRoute(
            "waypost-one-route", "one route, whatever the host is (beside `waypost-random` it shows what the routes cost, "
            "and not the hosts in the requests); the component `random`", ["random"],
        ),
        WithMatches(
            "waypost-matches", "six routes for each host, with an exact path, an expression, methods, a header and a "
            "query; the component `random`", ["random"],
        ),
        Waypost("waypost", "the short form `[hosts]`, all defaults: the components `range` and `random`", None),
        Waypost("waypost-range", "the component `range`, and the host's own random choice", ["range"]),
        Waypost(
            "waypost-router",
            "the component `header-router` reads a field and sets one, and the component `random` chooses",
            ["router", "random"], ROUTER,
        ),
        Waypost(
            "waypost-all", "the components `range`, `header-router` and `least-loaded`",
            ["range", "router", "least-loaded"], ROUTER,
        ),
        Waypost("waypost-least-loaded", "the component `least-loaded`", ["least-loaded"]),
        Waypost("waypost-request", "`random` with `isolation = \"request\"`: a fresh instance for each", ["fresh"], FRESH),
    ]


def build():
    """Builds the binary if it is not there and no other was named."""
    if NAMED is None and not BINARY.is_file() and shutil.which("cargo"):
        print("building target/dist/waypost", file=sys.stderr)
        subprocess.run(["cargo", "build", "--profile", "dist"], cwd=REPOSITORY, stdout=sys.stderr, check=False)
