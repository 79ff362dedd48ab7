"""WebSocket through the proxy, by Python's websockets on both sides, by raw sockets, and by Chromium."""
