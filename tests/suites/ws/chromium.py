"""Chromium without a window opens a page through the proxy, which then uses WebSockets through it."""

import re
import shutil
from pathlib import Path

from outcome import Result, Unavailable
from processes import Process

PAGE = Path(__file__).resolve().parent / "page.html"
# Of the whole page; it starts a browser.
PATIENCE = 60


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    raise Unavailable("Chromium is missing (Debian: `apt install chromium`)")


def results(folder, url, server):
    """What the page said, case by case."""
    names = re.findall(r"async (\w+)\(\)", PAGE.read_text(encoding="utf-8"))
    profile = folder / "chromium"
    profile.mkdir()
    command = [
        browser(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--ignore-certificate-errors",
        "--no-proxy-server",
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
        url,
    ]
    server.said.clear()
    server.via.clear()
    with Process(command, None, profile, {"HOME": str(profile)}) as process:
        ended = server.wait_for(server.said, "end", PATIENCE)
        log = process.log.read_text(errors="replace")
    found = [result(name, server.said.get(name)) for name in names]
    if ended is None:
        found.append(Result("chromium", "the page did not come to its end", tuple(log.splitlines()[-5:])))
    elif not url.startswith("https") or ended == "h2":
        found.append(Result("page", title=f"the page itself came by {ended}"))
    else:
        found.append(Result("page", f"the page came by {ended}, not h2"))
    if url.startswith("https") and any(server.via):
        found.append(carried(server.via))
    return found


def carried(via):
    """The browser has a connection of HTTP/2, and opens its WebSockets on that (RFC 8441)."""
    if all(way.startswith("2 ") for way in via):
        return Result("carried", title="the WebSockets came by HTTP/2")
    return Result("carried", f"not all WebSockets came by HTTP/2: {sorted(via)}")


def result(name, said):
    if said == "ok":
        return Result(name)
    return Result(name, said or "the page said nothing of it")
