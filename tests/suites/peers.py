"""What the suites run against: Waypost, or nginx and HAProxy, to see that cases can fail, with the same listeners.

Or nothing (`none`): then a suite of gRPC has its own server in front of it, to see what is not the proxy's."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "bench"))

from outcome import Unavailable  # noqa: E402
from processes import Process, free_ports, listens  # noqa: E402

# All of the names that a client may ask for; the certificate has them.
NAMES = ["localhost", "waypost.test", "*.wild.test"]


@dataclass(frozen=True)
class Ports:
    """Listeners of a peer. `plain` speaks HTTP/1.1 (and h2c, if the peer can do both), `h2c` HTTP/2 only."""

    plain: int
    h2c: int
    tls: int
    # Of the certificates at `tls`.
    authority: Path


@dataclass(frozen=True)
class Behind:
    """The backend of a peer. It speaks HTTP/1.1; or HTTP/2, over TLS if it has a certificate of an authority."""

    port: int
    http2: bool = False
    authority: Path | None = None


class Waypost:
    name = "waypost"

    def __init__(self, binary):
        self.binary = binary

    def command(self, folder, ports, behind, certificates):
        tls = ", ".join(f'{{ certificate = "{name}.pem", key = "{name}.key" }}' for name in certificates)
        protocol = ""
        if behind.http2:
            protocol = f'protocol = "{"h2" if behind.authority else "h2c"}"'
        if behind.authority:
            protocol += f'\ntls = {{ server-name = "localhost", ca = "{behind.authority}" }}'
        (folder / "waypost.toml").write_text(f"""
workers = 2
[admin]
listen = "off"
[[listeners]]
address = "127.0.0.1:{ports.plain}"
[[listeners]]
address = "127.0.0.1:{ports.h2c}"
protocols = ["h2c"]
[[listeners]]
address = "127.0.0.1:{ports.tls}"
tls = {{ certificates = [{tls}] }}
[forwarded]
via = true
[[routes]]
pool = "behind"
policies = ["random"]
[pools.behind]
backends = ["127.0.0.1:{behind.port}"]
{protocol}
# Cases that break a stream must not eject the only backend.
max-failures = 0
""")
        return [str(self.binary), "run", "--config", str(folder / "waypost.toml")]


class Nginx:
    name = "nginx"

    def command(self, folder, ports, behind, certificates):
        names = "".join(f"ssl_certificate {name}.pem; ssl_certificate_key {name}.key;" for name in certificates)
        to = f"proxy_pass http://127.0.0.1:{behind.port}"
        if behind.http2:
            to = f"grpc_pass grpc{'s' if behind.authority else ''}://127.0.0.1:{behind.port}"
        upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;"
        (folder / "nginx.conf").write_text(f"""
daemon off; pid nginx.pid; error_log error.log; worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
    map $http_upgrade $upgrading {{ default upgrade; '' ''; }}
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{ports.plain};
        listen 127.0.0.1:{ports.h2c} http2;
        listen 127.0.0.1:{ports.tls} ssl http2;
        ssl_protocols TLSv1.2 TLSv1.3;
        {names}
        location / {{ {to}; proxy_http_version 1.1; {upgrade} }}
    }}
}}
""")
        return ["nginx", "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]


class Haproxy:
    name = "haproxy"

    def command(self, folder, ports, behind, certificates):
        for name in certificates:
            (folder / f"{name}.both.pem").write_text(
                (folder / f"{name}.pem").read_text() + (folder / f"{name}.key").read_text()
            )
        names = " ".join(f"crt {folder / name}.both.pem" for name in certificates)
        protocol = "proto h2" if behind.http2 else ""
        if behind.authority:
            protocol = f"ssl alpn h2 verify required ca-file {behind.authority} sni str(localhost)"
        (folder / "haproxy.cfg").write_text(f"""
global
    nbthread 2
    no strict-limits
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    timeout tunnel 60s
frontend front
    bind 127.0.0.1:{ports.plain}
    bind 127.0.0.1:{ports.h2c} proto h2
    bind 127.0.0.1:{ports.tls} ssl {names} alpn h2,http/1.1
    default_backend behind
backend behind
    server one 127.0.0.1:{behind.port} {protocol}
""")
        return ["haproxy", "-q", "-db", "-f", str(folder / "haproxy.cfg")]


@contextlib.contextmanager
def running(peer, folder, behind, certificates=("ecdsa", "rsa")):
    """The peer in front of that backend; gives its ports."""
    if peer is None:
        if not behind.http2:
            raise Unavailable("only a suite of gRPC runs without a proxy")
        yield Ports(behind.port, behind.port, behind.port, behind.authority)
        return
    folder = Path(folder) / f"{peer.name}-{behind.port}"
    folder.mkdir()
    for name in certificates:
        certificate(folder, name)
    ports = Ports(*free_ports(3), folder / "ca.pem")
    command = peer.command(folder, ports, behind, certificates)
    with Process(command, None, folder, {"WAYPOST_LOG": "warn"}) as process:
        for port in (ports.plain, ports.h2c, ports.tls):
            process.wait_for(port, listens)
        yield ports
        if process.process.poll() is not None:
            raise RuntimeError(f"{peer.name} ended within the suite: {process.log.read_text(errors='replace')[-2000:]}")


def certificate(folder, kind):
    """A certificate by an authority of its own: KIND.pem, KIND.key, and ca.pem for clients."""
    if shutil.which("openssl") is None:
        raise RuntimeError("openssl is missing (Debian: `apt install openssl`)")
    if not (folder / "ca.pem").exists():
        openssl(
            folder, "req", "-x509", *key_of("ecdsa", "ca.key"), "-out", "ca.pem", "-subj", "/CN=Suites", "-days", "90"
        )
    names = ",".join(f"DNS:{name}" for name in NAMES) + ",IP:127.0.0.1"
    usage = "keyUsage=critical,digitalSignature" + (",keyEncipherment" if kind == "rsa" else "")
    (folder / f"{kind}.ext").write_text(
        f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:false\n{usage}\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        # Scanners miss it otherwise; none of them asks for it.
        "crlDistributionPoints=URI:http://localhost/crl\n"
    )
    openssl(folder, "req", *key_of(kind, f"{kind}.key"), "-out", f"{kind}.csr", "-subj", "/CN=localhost")
    openssl(
        folder,
        "x509",
        "-req",
        "-in",
        f"{kind}.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-sha256",
        "-out",
        f"{kind}.pem",
        "-extfile",
        f"{kind}.ext",
        "-days",
        "80",
    )


def key_of(kind, file):
    kinds = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}
    return [*kinds[kind], "-nodes", "-keyout", file]


def openssl(folder, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()[-500:]}")


def peer_named(name, binary):
    if name == "none":
        return None
    if name == "waypost":
        if not (binary.is_file() and os.access(binary, os.X_OK)):
            raise RuntimeError(f"{binary} is not there; `cargo build` makes it, `--binary` names another")
        return Waypost(binary)
    if shutil.which(name) is None:
        raise RuntimeError(f"{name} is missing (Debian: `apt install {name}`)")
    return {"nginx": Nginx, "haproxy": Haproxy}[name]()
