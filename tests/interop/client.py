#!/usr/bin/env python3
"""A chatnet client from PROTOCOL.md alone, with nothing but the standard library.

usage: client.py HOST PORT ALIAS TEXT COUNT
Joins the default room, publishes TEXT, prints `acked SEQ` and, until COUNT messages of others came,
`heard SEQ ALIAS TEXT`; then pings, leaves, and says goodbye.
"""
import os
import socket
import struct
import sys


def head(major, n):
    for info, size in ((24, "B"), (25, "!H"), (26, "!I"), (27, "!Q")):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * struct.calcsize(size):
            return bytes([major << 5 | info]) + struct.pack(size, n)


def dump(x):
    if x is None:
        return b"\xf6"
    if isinstance(x, bool):
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x) if x >= 0 else head(1, -1 - x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    return head(4, len(x)) + b"".join(map(dump, x))


def load(b, i=0):
    """The item at i, and where the next one begins."""
    major, info, i = b[i] >> 5, b[i] & 31, i + 1
    if major == 7:
        return {20: False, 21: True, 22: None}[info], i
    n = info
    if info >= 24:
        size = 1 << info - 24
        n, i = int.from_bytes(b[i : i + size], "big"), i + size
    if major == 0:
        return n, i
    if major == 1:
        return -1 - n, i
    if major in (2, 3):
        x = b[i : i + n]
        return (x if major == 2 else x.decode()), i + n
    items = []
    for _ in range(n):
        x, i = load(b, i)
        items.append(x)
    return items, i


class Connection:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=20)
        self.stream = self.socket.makefile("rb")

    def send(self, kind, *elements, live=False):
        body = dump(list(elements))
        self.socket.sendall(struct.pack("!IHBB", len(body), kind, 1 if live else 0, 0) + body)

    def receive(self):
        header = self.stream.read(8)
        if len(header) < 8:
            return None, []
        length, kind, _, _ = struct.unpack("!IHBB", header)
        body = load(self.stream.read(length))[0]
        if kind == 0x08:  # Ping
            self.send(0x09, body[0])
        if kind in (0x0A, 0x0B):  # Error, Bye
            sys.exit(f"refused: {body}")
        return kind, body

    def wait(self, wanted):
        while True:
            kind, body = self.receive()
            if kind in (wanted, None):
                return body


def main(host, port, alias, text, count):
    c = Connection(host, int(port))
    c.send(0x01, b"chatnet", 1, 1, [], 131072, "client.py")
    c.wait(0x02)
    c.send(0x03, "guest", alias.encode())
    c.wait(0x05)
    c.send(0x06, None, [], False)
    c.wait(0x07)
    c.send(0x0101, 1, "")
    _, room, name, cursor, *_ = c.wait(0x0102)
    print("joined", name, flush=True)
    c.send(0x0105, room, os.urandom(16), 1, [[1, text.encode()]], live=True)
    heard, acked, own = 0, False, set()
    while heard < int(count) or not acked:
        kind, body = c.receive()
        if kind == 0x0106:
            acked = True
            own.add(body[4])
            print("acked", body[4], flush=True)
        elif kind == 0x0108 and body[0] == room:
            for i, (event_kind, _, data) in enumerate(body[6]):
                while cursor + 1 in own:
                    cursor += 1
                if body[1] + i <= cursor:
                    continue
                assert body[1] + i == cursor + 1, "a hole"
                cursor += 1
                heard += 1
                print("heard", cursor, body[4], data.decode() if event_kind == 1 else "?", flush=True)
    c.send(0x08, 4711)
    assert c.wait(0x09) == [4711]
    c.send(0x0103, 2, room)
    assert c.wait(0x0104)[0] == 2
    c.send(0x0B, 0, "", None)
    assert c.receive()[0] is None
    print("done", flush=True)


main(*sys.argv[1:])
