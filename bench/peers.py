"""The proxies and how each is configured for the same work.

Every peer: one worker, one listener on loopback, kept and pooled upstream connections over HTTP/1.1, a random choice among
the backends with one draw, no access log for answered requests, and on each request the fields that Waypost adds by
default. The run records what each of them really sends to a backend.

Add a peer by writing a class with `name`, `told`, `missing`, `version` and `command`, and adding it to PEERS.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from processes import free_ports


def version_of(command, pattern):
    """The first match of `pattern` in what `command` prints, on either stream."""
    said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    found = re.search(pattern, said.stdout + said.stderr)
    return found.group(1) if found else "unknown version"


class Nginx:
    name = "nginx"
    told = "`random`, `keepalive 256`, bodies streamed (no temporary files, no request buffering)"

    def missing(self):
        return None if shutil.which("nginx") else "nginx is not installed (Debian: apt install nginx)"

    def version(self):
        return "nginx " + version_of(["nginx", "-v"], r"nginx/(\S+)")

    def command(self, folder: Path, port: int, backends: list[int]):
        servers = "\n".join(f"server 127.0.0.1:{backend} max_fails=0;" for backend in backends)
        return nginx(folder, f"""
            upstream pool {{
                random;
                {servers}
                keepalive 256;
                keepalive_requests 1000000000;
            }}
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{
                    proxy_pass http://pool;
                    proxy_http_version 1.1;
                    proxy_request_buffering off;
                    proxy_max_temp_file_size 0;
                    proxy_set_header Connection "";
                    proxy_set_header Host $http_host;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header X-Forwarded-Host $http_host;
                    proxy_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
                    proxy_set_header Via "1.1 nginx";
                }}
            }}""")


class Haproxy:
    name = "haproxy"
    told = "`balance random(1)`, `http-reuse always`"

    def missing(self):
        return None if shutil.which("haproxy") else "HAProxy is not installed (Debian: apt install haproxy)"

    def version(self):
        return "HAProxy " + version_of(["haproxy", "-v"], r"version (\d[\d.]*)")

    def command(self, folder: Path, port: int, backends: list[int]):
        servers = "\n".join(f"    server s{backend} 127.0.0.1:{backend}" for backend in backends)
        # By default it draws two backends and takes the less loaded one; nginx and Waypost draw one.
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 60s
    http-reuse always
frontend front
    bind 127.0.0.1:{port} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=http
    http-request add-header Via "1.1 haproxy"
    default_backend pool
backend pool
    balance random(1)
{servers}
""")
        return ["haproxy", "-q", "-db", "-f", str(config)], {}


class Waypost:
    name = "waypost"
    told = "built-in `random` and `range` policies, all defaults"

    def __init__(self):
        self.repository = Path(__file__).resolve().parent.parent
        self.named = os.environ.get("WAYPOST")
        self.binary = Path(self.named or self.repository / "target/release/waypost").absolute()

    def build(self):
        """Builds the binary if it is not there and no other was named."""
        if self.named is None and self.missing() and shutil.which("cargo"):
            print("building target/release/waypost", file=sys.stderr)
            subprocess.run(["cargo", "build", "--release"], cwd=self.repository, stdout=sys.stderr, check=False)

    def missing(self):
        if self.binary.is_file() and os.access(self.binary, os.X_OK):
            return None
        return f"{self.binary} is not a program (cargo build --release makes it; WAYPOST=path names another)"

    def version(self):
        return "Waypost " + version_of([self.binary, "--version"], r"(\d+\.\d+\.\d+\S*)")

    def command(self, folder: Path, port: int, backends: list[int]):
        addresses = ", ".join(f'"127.0.0.1:{backend}"' for backend in backends)
        (admin,) = free_ports(1)
        config = folder / "waypost.toml"
        config.write_text(f"""
listen = "127.0.0.1:{port}"
workers = 1

[admin]
listen = "127.0.0.1:{admin}"

[hosts]
"*" = [{addresses}]
""")
        return [str(self.binary), "run", "--config", str(config)], {"WAYPOST_LOG": "warn"}


# The first one is what the others are compared with.
PEERS = [Nginx(), Haproxy(), Waypost()]


def backends(folder: Path, ports: list[int], small: bytes, bodies: dict[str, int]):
    """The backends: one nginx that listens on every port, answers a constant, and serves files."""
    for path, length in bodies.items():
        (folder / path.strip("/")).write_bytes(bytes(97 + at % 26 for at in range(1024)) * (length // 1024))
    listens = "\n".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    return nginx(folder, f"""
        sendfile on;
        open_file_cache max=16 inactive=1h;
        server {{
            {listens}
            root {folder};
            location = /small {{ default_type text/plain; return 200 "{small.decode()}"; }}
        }}""")


def nginx(folder: Path, http: str):
    """An nginx in the foreground with one worker and everything that it writes in `folder`."""
    names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in names)
    config = folder / "nginx.conf"
    # As root, workers would otherwise become "nobody", who can't enter a private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"""
        {user}
        daemon off;
        worker_processes 1;
        worker_rlimit_nofile 16384;
        pid {folder}/nginx.pid;
        error_log {folder}/error.log warn;
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            tcp_nodelay on;
            keepalive_timeout 60s;
            keepalive_requests 1000000000;
            {temporary}
            {http}
        }}""")
    return ["nginx", "-c", str(config), "-p", str(folder), "-e", f"{folder}/error.log"], {}
