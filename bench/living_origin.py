"""One origin whose failures are ordered over HTTP: `living_origin.py PORT`. See living.py.

`GET /_mode?kind=KIND&share=S` has that share of the requests fail from now on: `ok`, `503`, `reset` (closed without an
answer), `stall` (answered after a second). `GET /_counts` says what was asked so far.
"""

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from urllib.parse import parse_qs, urlsplit

STALL = 1.0


class Origin:
    def __init__(self):
        self.kind, self.share = "ok", 0.0
        self.asked, self.ids, self.busy, self.ends = 0, Counter(), 0, False

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        await reader.readexactly(int(fields.get("content-length", 0)))
        if target.startswith("/_"):
            return self.order(target, writer)
        self.asked += 1
        self.ids[fields.get("x-id", "")] += method == "POST"
        self.busy += 1
        try:
            return await self.answer(writer)
        finally:
            self.busy -= 1

    async def answer(self, writer):
        kind = self.kind if random.random() < self.share else "ok"
        if kind == "reset":
            writer.transport.abort()
            return False
        await asyncio.sleep(STALL if kind == "stall" else 0.002)
        status = "503 Service Unavailable" if kind == "503" else "200 OK"
        close = "Connection: close\r\n" if self.ends else ""
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n{close}\r\nok".encode())
        await writer.drain()
        return not self.ends

    def order(self, target, writer):
        parts = urlsplit(target)
        if parts.path == "/_mode":
            wanted = parse_qs(parts.query)
            self.kind, self.share = wanted["kind"][0], float(wanted["share"][0])
        body = json.dumps({"asked": self.asked, "ids": self.ids})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        return False


async def main():
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    # As a careful server does: no more connections, and the requests of those that there are get their answers.
    server.close()
    origin.ends = True
    await asyncio.sleep(0.3)
    while origin.busy:
        await asyncio.sleep(0.01)


asyncio.run(main())
