"""Chromium without a window behind a forward proxy."""

import json
import time

from forward.clients import PATIENCE, Answer, run
from forward.servers import USER
from processes import Process
from ws.chromium import browser


def flags(world, proxy, name):
    profile = world.folder / name
    profile.mkdir(exist_ok=True)
    return [
        browser(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--ignore-certificate-errors",
        f"--proxy-server={proxy}",
        # It would go to this machine without the proxy.
        "--proxy-bypass-list=<-loopback>",
        f"--user-data-dir={profile}",
    ], profile


def chromium(world, proxy, url):
    """What it shows."""
    command, profile = flags(world, proxy, "dump")
    _, dom, _ = run([*command, "--timeout=20000", "--dump-dom", url], {"HOME": str(profile)})
    return Answer(dom)


def controlled(world, proxy, url, password):
    """The same by DevTools' protocol, as by a user who types a name and a password when the browser asks for them.

    Returns the page, or what went wrong, and how often the browser has asked."""
    # It is there only if the suite is run.
    from websockets.sync.client import connect

    command, profile = flags(world, proxy, "controlled")
    port = profile / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    with Process([*command, "--remote-debugging-port=0", "about:blank"], None, profile, {"HOME": str(profile)}):
        until = time.monotonic() + PATIENCE
        while not (port.exists() and len(port.read_text().split()) == 2):
            if time.monotonic() > until:
                raise TimeoutError("Chromium does not say where it is controlled")
            time.sleep(0.05)
        number, path = port.read_text().split()
        with connect(f"ws://127.0.0.1:{number}{path}", proxy=None, max_size=None) as control:
            return Controlled(control, until).page(url, password)


class Controlled:
    """A browser that is controlled by DevTools' protocol."""

    def __init__(self, control, until):
        self.control, self.until, self.number, self.asked = control, until, 0, 0

    def page(self, url, password):
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.password = password
        for method in ("Page.enable", "Network.enable"):
            self.do(method, here=True)
        self.do("Fetch.enable", here=True, handleAuthRequests=True)
        # It fires for an answer as for a page, but not where there is neither.
        if failure := self.do("Page.navigate", here=True, url=url).get("errorText"):
            return Answer(failure.encode()), self.asked
        self.events_until("Page.loadEventFired")
        said = self.do("Runtime.evaluate", here=True, expression="document.documentElement.outerHTML")
        return Answer(said["result"]["value"].encode()), self.asked

    def do(self, method, here=False, **parameters):
        self.send(method, here, **parameters)
        number = self.number
        while (said := self.receive()).get("id") != number:
            self.event(said)
        return said["result"]

    def send(self, method, here, **parameters):
        self.number += 1
        whole = {"id": self.number, "method": method, "params": parameters}
        self.control.send(json.dumps({**whole, "sessionId": self.session} if here else whole))

    def events_until(self, method):
        while (said := self.receive()).get("method") != method:
            self.event(said)

    def receive(self):
        return json.loads(self.control.recv(timeout=max(0.1, self.until - time.monotonic())))

    def event(self, said):
        parameters = said.get("params", {})
        if said.get("method") == "Fetch.requestPaused":
            self.send("Fetch.continueRequest", True, requestId=parameters["requestId"])
        elif said.get("method") == "Fetch.authRequired":
            self.asked += 1
            given = {"response": "ProvideCredentials", "username": USER, "password": self.password}
            if self.asked > 1:
                given = {"response": "CancelAuth"}
            self.send("Fetch.continueWithAuth", True, requestId=parameters["requestId"], authChallengeResponse=given)
