"""Open-loop load: so many requests a second, each when it is due, over kept connections. See living.py."""

import asyncio
import time
from dataclasses import dataclass, field

# After so long a client gives up.
PATIENCE = 15.0


@dataclass
class Sample:
    """One request of the load."""

    at: float
    took: float
    method: str
    # 0: no answer.
    status: int

    @property
    def failed(self):
        return self.status != 200


@dataclass
class Load:
    """`rate` requests a second to `port`, every fourth a POST, until `stop()`."""

    port: int
    rate: float
    samples: list = field(default_factory=list)
    posts: list = field(default_factory=list)
    free: list = field(default_factory=list)
    stopping: bool = False

    async def run(self):
        tasks, began, number = set(), time.monotonic(), 0
        while not self.stopping:
            due = began + number / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.ask(number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
        for _, writer in self.free:
            writer.close()
        return number

    def stop(self):
        self.stopping = True

    async def ask(self, number, due):
        method = "POST" if number % 4 == 3 else "GET"
        name = f"{self.port}-{number}"
        if method == "POST":
            self.posts.append(name)
        try:
            status = await asyncio.wait_for(self.exchange(method, name), PATIENCE)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError):
            status = 0
        self.samples.append(Sample(due, time.monotonic() - due, method, status))

    async def exchange(self, method, name):
        """The status. A connection that another request has left is tried once more if it was closed meanwhile."""
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof() and not writer.is_closing():
                break
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        kept = False
        try:
            length = "Content-Length: 4\r\n" if method == "POST" else ""
            body = "body" if method == "POST" else ""
            writer.write(f"{method} / HTTP/1.1\r\nHost: h0.bench.test\r\nX-Id: {name}\r\n{length}\r\n{body}".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            if "chunked" in fields.get("transfer-encoding", ""):
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readexactly(2)
            else:
                await reader.readexactly(int(fields["content-length"]))
            kept = fields.get("connection") != "close"
            return int(head.split(" ", 2)[1])
        finally:
            if kept:
                self.free.append((reader, writer))
            else:
                writer.close()
