"""CPU time per gigabyte of what a proxy passes on or compresses. Started by bench/bulk; see README.md."""

import argparse
import concurrent.futures
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import certificates
from processes import Process, free_ports, listens

HOST = "h0.bench.test"
GIGABYTE = 1e9
# What clients read at a time.
PIECE = 1 << 18
LARGE = 256 << 20
PAGE = 64 << 10
# It reads files of this run, which are nobody else's.
NGINX_USER = "user root; " if os.geteuid() == 0 else ""


@dataclass(frozen=True)
class Place:
    """Where things are: the origin's ports without and with TLS, the proxy's, and a folder."""

    plain: int
    tls: int
    proxy: int
    folder: Path
    binary: Path


def passthrough_waypost(place):
    return waypost(place, f"""
[[listeners]]
address = "127.0.0.1:{place.proxy}"
tls = {{ passthrough = true }}
[[routes]]
sni = "{HOST}"
passthrough = true
pool = "origin"
[pools.origin]
backends = "127.0.0.1:{place.tls}"
""")


def passthrough_haproxy(place):
    return haproxy(place, f"""
frontend front
    mode tcp
    bind 127.0.0.1:{place.proxy}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req_ssl_hello_type 1 }}
    use_backend origin if {{ req_ssl_sni -i {HOST} }}
backend origin
    mode tcp
    server one 127.0.0.1:{place.tls}
""")


def compress_waypost(place):
    return waypost(place, f"""
[[listeners]]
address = "127.0.0.1:{place.proxy}"
[[routes]]
pool = "origin"
policies = ["random"]
compress = {{ encodings = ["gzip"], level = 4 }}
[pools.origin]
backends = "127.0.0.1:{place.plain}"
""")


def compress_nginx(place):
    config = place.folder / "nginx.conf"
    config.write_text(f"""
{NGINX_USER}daemon off; pid peer.pid; error_log peer.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
    upstream origin {{ server 127.0.0.1:{place.plain}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{place.proxy};
        gzip on; gzip_comp_level 4; gzip_types text/plain; gzip_proxied any; keepalive_requests 1000000;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
""")
    return ["nginx", "-p", str(place.folder), "-e", "peer.log", "-c", str(config)]


def waypost(place, text):
    config = place.folder / "waypost.toml"
    config.write_text(f'workers = 1\n[admin]\nlisten = "off"\n{text}')
    return [str(place.binary), "run", "--config", str(config)]


def haproxy(place, text):
    config = place.folder / "haproxy.cfg"
    config.write_text(f"""
global
    nbthread 1
    no strict-limits
defaults
    timeout client 60s
    timeout server 60s
    timeout connect 5s
{text}""")
    return ["haproxy", "-q", "-db", "-f", str(config)]


def download(place):
    """A large body through the tunnel, once. Returns its bytes."""
    # The origin's certificate is no part of what is measured.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", place.proxy), timeout=60) as tcp:
        with context.wrap_socket(tcp, server_hostname=HOST) as tls:
            tls.sendall(f"GET /large HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            total = 0
            while piece := tls.recv(PIECE):
                total += len(piece)
    if total < LARGE:
        raise RuntimeError(f"only {total} bytes came")
    return total


def pages(place, number=400):
    """Many pages on one connection. Returns what they have before they are compressed."""
    connection = http.client.HTTPConnection("127.0.0.1", place.proxy, timeout=60)
    for _ in range(number):
        connection.request("GET", "/page", headers={"host": HOST, "accept-encoding": "gzip"})
        response = connection.getresponse()
        response.read()
        if response.status != 200 or response.headers.get("content-encoding") != "gzip":
            raise RuntimeError(f"{response.status}, content-encoding {response.headers.get('content-encoding')}")
    connection.close()
    return number * PAGE


KINDS = {
    "passthrough": ("TLS passed on by its name, bodies of 256 MiB", download, 4,
                    {"waypost": passthrough_waypost, "haproxy": passthrough_haproxy}),
    "compression": ("gzip at level 4, pages of 64 KiB of text", pages, 8,
                    {"waypost": compress_waypost, "nginx": compress_nginx}),
}


def main():
    parser = argparse.ArgumentParser(prog="bench/bulk", description="CPU seconds per gigabyte, beside another proxy.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--binary", type=Path, default=Path("target/dist/waypost"), help="default: target/dist/waypost")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, in turns (5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for kind in options.kinds or KINDS:
        if kind not in KINDS:
            parser.error(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    if not options.binary.is_file():
        sys.exit(f"bench/bulk: there is no binary {options.binary}; name one by --binary")
    for program in ("nginx", "haproxy", "openssl"):
        if shutil.which(program) is None:
            sys.exit(f"bench/bulk: {program} is not on the PATH (Debian: apt install {program})")
    with tempfile.TemporaryDirectory(prefix="waypost-bulk-") as folder:
        folder = Path(folder)
        with origin(folder) as (plain, tls):
            for kind in options.kinds or KINDS:
                measure(kind, options, folder, (plain, tls))
    return 0


def measure(kind, options, folder, origins):
    told, work, clients, peers = KINDS[kind]
    print(f"{kind}: {told}; {clients} clients, one worker", flush=True)
    found = {name: [] for name in peers}
    for number in range(options.rounds):
        for name, command in peers.items():
            place_folder = folder / f"{kind}-{name}-{number}"
            place_folder.mkdir()
            place = Place(*origins, free_ports(1)[0], place_folder, options.binary.absolute())
            with Process(command(place), None, place_folder, {"WAYPOST_LOG": "warn"}) as proxy:
                proxy.wait_for(place.proxy, listens)
                work(place)
                before = proxy.used()
                with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                    total = sum(pool.map(work, [place] * clients))
                used = proxy.used() - before
                found[name].append((used.user + used.system) / (total / GIGABYTE))
    least = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        shown = " ".join(f"{value:.3f}" for value in values)
        print(f"  {name:9} {least[name]:.3f} CPU s per GB ({shown})")
    ours, other = least["waypost"], next(least[name] for name in peers if name != "waypost")
    print(f"  waypost takes {ours / other:.2f} of it", flush=True)


def origin(folder):
    """nginx with the bodies: gives its ports without and with TLS."""
    root = folder / "origin"
    root.mkdir()
    with open(root / "large", "wb") as large:
        large.truncate(LARGE)
    # Words, as a page has them, so that it compresses as pages do.
    drawn = random.Random(1)
    words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randint(2, 9))) for _ in range(2000)]
    text = ""
    while len(text) < PAGE:
        text += drawn.choice(words) + drawn.choice([" ", " ", " ", ", ", ".\n"])
    (root / "page").write_text(text[:PAGE])
    made = certificates.make(root, "ecdsa", HOST)
    plain, tls = free_ports(2)
    (root / "nginx.conf").write_text(f"""
{NGINX_USER}daemon off; pid origin.pid; error_log origin.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; default_type text/plain; keepalive_requests 1000000;
    client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {made.certificate}; ssl_certificate_key {made.key};
        root {root};
    }}
}}
""")
    process = Process(["nginx", "-p", str(root), "-e", "origin.log", "-c", "nginx.conf"], None, root)
    return Running(process, plain, tls)


class Running:
    """A process that listens, with its ports."""

    def __init__(self, process, plain, tls):
        self.process, self.ports = process, (plain, tls)

    def __enter__(self):
        self.process.__enter__()
        for port in self.ports:
            self.process.wait_for(port, listens)
        return self.ports

    def __exit__(self, *_):
        self.process.__exit__(*_)


if __name__ == "__main__":
    sys.exit(main())
