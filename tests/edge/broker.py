"""A broker for tests: one listener, MQTT 3.1.1 by hand, every kindness can be switched off. And a hub on top of it."""

import asyncio
import base64
import hashlib

from hub.link.messages import make_down, read_up

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


def packet(head, body=b""):
    size, length = len(body), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([head]) + length + bytes([size]) + body


def text(value):
    return len(value).to_bytes(2, "big") + value.encode()


class Broker:
    """Answers like a broker; what came is in `packets`. silent: kinds that are not answered."""

    def __init__(self):
        self.silent = set()
        self.connack = b"\x00\x00"
        self.packets = []  # (kind, head, body)
        self.changed = asyncio.Event()
        self.writer = None
        self.port = 0
        self._next_id = 1

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.writer = writer
        try:
            while True:
                head = (await reader.readexactly(1))[0]
                size = shift = 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    size |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self._heard(head, await reader.readexactly(size))
        except (EOFError, OSError):
            pass
        finally:
            writer.close()

    def _heard(self, head, body):
        kind = head >> 4
        self.packets.append((kind, head, body))
        if kind not in self.silent:
            if kind == CONNECT:
                self.write(packet(0x20, self.connack))
            elif kind == SUBSCRIBE:
                self.write(packet(0x90, body[:2] + b"\x01"))
            elif kind == PINGREQ:
                self.write(packet(0xD0))
            elif kind == PUBLISH:
                self._heard_publish(head, body)
        self.changed.set()

    def _heard_publish(self, head, body):
        at = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:at].decode()
        if head & 6:
            self.write(packet(0x40, body[at : at + 2]))
            at += 2
        self.on_publish(topic, body[at:])

    def on_publish(self, topic, payload):
        pass

    def write(self, data):
        if not self.writer.is_closing():
            self.writer.write(data)

    def publish(self, topic, payload, qos=1):
        self._next_id += 1
        extra = self._next_id.to_bytes(2, "big") if qos else b""
        self.write(packet(0x30 | qos << 1, text(topic) + extra + payload))

    def drop(self):
        """Break the connection."""
        if self.writer is not None:
            self.writer.transport.abort()

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def got(self, kind, count=1):
        """The count-th packet of a kind: (head, body)."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of(self, kind):
        return [(head, body) for k, head, body in self.packets if k == kind]


class Hub(Broker):
    """Welcomes, gives modules, acknowledges results (unless told not to)."""

    def __init__(self, beat_s=10.0):
        super().__init__()
        self.beat_s = beat_s
        self.acknowledge = True
        self.chunk = 64 * 1024
        self.modules = {}
        self.heard = []  # (kind, fields)
        self.device = ""

    def on_publish(self, topic, payload):
        _, _, _, self.device, _, kind = topic.split("/")
        fields = read_up(kind, payload)
        self.heard.append((kind, fields))
        if kind == "hello":
            self.send("welcome", epoch=1, time_ms=0, beat_s=self.beat_s, lease_s=30, max_chunk=self.chunk)
        elif kind == "need" and fields["module"] in self.modules:
            data = self.modules[fields["module"]]
            piece = data[fields["offset"] :][: self.chunk]
            self.send(
                "chunk",
                module=fields["module"],
                offset=fields["offset"],
                total=len(data),
                data=base64.b64encode(piece).decode(),
            )
        elif kind == "result" and self.acknowledge:
            self.send("ack", task=fields["task"], attempt=fields["attempt"])

    def send(self, kind, **fields):
        self.publish(f"motet/v1/d/{self.device}/down", make_down(kind, fields))

    def start(self, task, data, inputs=None, attempt=1, **fields):
        module = hashlib.sha256(data).hexdigest()
        self.modules.setdefault(module, data)
        limits = fields.pop("limits", {})
        self.send(
            "start",
            task=task,
            attempt=attempt,
            module=module,
            size=len(data),
            name="main",
            inputs=inputs or [],
            limits=limits,
            **fields,
        )

    def all(self, kind):
        return [fields for k, fields in self.heard if k == kind]

    async def hear(self, kind, count=1, **wanted):
        """The count-th message of a kind whose fields are these."""

        def matching():
            return [f for f in self.all(kind) if all(f.get(name) == value for name, value in wanted.items())]

        await self.until(lambda: len(matching()) >= count)
        return matching()[count - 1]
