"""Clients that are pointed at a forward proxy. Each answers with what a user of it would see."""

import os
import subprocess
from dataclasses import dataclass

from forward.servers import PASSWORD, USER

PATIENCE = 30


@dataclass(frozen=True)
class Answer:
    """The page, if the proxy let the client through, else the status with which it did not."""

    body: bytes = b""
    refused: int = 0


def run(command, environment=None):
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        command, capture_output=True, timeout=PATIENCE, check=False, env={**clean, **(environment or {})}
    )
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def user(password):
    return f"{USER}:{password}"


def curl(world, proxy, url, password=None, data=None):
    command = ["curl", "--silent", "--show-error", "--noproxy", "", "--proxy", proxy]
    command += ["--proxy-cacert", str(world.authority), "--cacert", str(world.authority)]
    command += ["--output", "-", "--write-out", "%{stderr}%{http_code} %{http_connect}"]
    if password is not None:
        command += ["--proxy-user", user(password)]
    if data is not None:
        file = world.folder / "upload"
        file.write_bytes(data)
        command += ["--data-binary", f"@{file}"]
    _, body, said = run([*command, url])
    code, connect = (int(word) for word in said.split()[-2:])
    if connect not in (0, 200):
        return Answer(refused=connect)
    if code != 200:
        return Answer(refused=code)
    return Answer(body)


def wget(world, proxy, url, password=None):
    """It speaks no TLS with proxies."""
    command = ["wget", "--no-verbose", "--server-response", "--tries=1", f"--timeout={PATIENCE}", "--no-hsts", "--no-config"]
    command += [f"--ca-certificate={world.authority}", "--output-document=-", "--execute", "use_proxy=yes"]
    command += ["--execute", f"http_proxy={proxy}", "--execute", f"https_proxy={proxy}"]
    if password is not None:
        command += [f"--proxy-user={USER}", f"--proxy-password={password}"]
    code, body, said = run([*command, url])
    if code == 0:
        return Answer(body)
    # In words.
    reasons = {"Forbidden": 403, "Proxy Authentication Required": 407}
    return Answer(refused=next((status for reason, status in reasons.items() if reason in said), -1))


def requests(world, proxy, url, password=None, data=None):
    # It is there only if the suite is run.
    import requests as package
    import urllib3

    # It does not verify a proxy that it asks for a page of http.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    scheme, address = proxy.split("://")
    whole = proxy if password is None else f"{scheme}://{user(password)}@{address}"
    with package.Session() as session:
        session.trust_env = False
        session.proxies = {"http": whole, "https": whole}
        session.verify = str(world.authority)
        try:
            answer = session.request("GET" if data is None else "POST", url, data=data, timeout=PATIENCE)
        except package.exceptions.ProxyError as failure:
            # urllib3 says it in words: "Tunnel connection failed: 403 Forbidden".
            words = str(failure).replace("'", " ").split()
            return Answer(refused=next((int(word) for word in words if word in ("403", "407", "502")), -1))
        return Answer(answer.content) if answer.status_code == 200 else Answer(refused=answer.status_code)
