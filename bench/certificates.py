"""The certificates of a run: self-signed, made anew each time, and used by all peers."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

# By kind, what `openssl req` is asked for.
KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
# All clients offer this suite and this curve only, so that no proxy does other work because it prefers something else.
SUITE, CURVE = "TLS_AES_128_GCM_SHA256", "X25519"
TOLD = f"TLS 1.3 with {SUITE} and {CURVE}, session tickets as each peer issues them by default"


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path
    # Both in one file.
    together: Path


def make(folder: Path, kind: str, host: str):
    """A certificate for a host, and for clients that name the address."""
    made = Certificate(folder / f"{kind}.crt", folder / f"{kind}.key", folder / f"{kind}.pem")
    names = f"subjectAltName=DNS:{host},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "30", "-subj", f"/CN={host}"]
    command += ["-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if said.returncode != 0:
        raise RuntimeError(f"openssl made no {kind} certificate: {said.stderr.strip()[-300:]}")
    made.together.write_text(made.certificate.read_text() + made.key.read_text())
    return made
