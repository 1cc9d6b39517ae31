"""Where a broker is: `amqp://user:password@host:5672/vhost`, or `amqps://…` with `?cafile=` unless the system knows it.

`certfile` and `keyfile` are a certificate of our own, for brokers that ask for one.
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import pika

from scitq.errors import Malformed

HEARTBEAT_S: Final = 10
BLOCKED_S: Final = 60.0
"""So long a connection may take nothing before another is tried, which may be to another broker of the cluster."""
CONNECT_S: Final = 5.0
HANDSHAKE_S: Final = 15.0
UNANSWERED_MS: Final = 20_000
PORTS: Final = {"amqp": 5672, "amqps": 5671}
FILES: Final = ("cafile", "certfile", "keyfile")


class Address:
    """One broker, understood and ready to be connected to."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port, options = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError as error:
            # without what was wrong with it: that may be a piece of the password
            raise Malformed("the address of a broker cannot be understood: amqp://user:password@host:port/") from error
        if parts.scheme not in PORTS or not parts.hostname:
            raise Malformed("the address of a broker begins with amqp:// or amqps:// and names a host")
        self.secure = secure = parts.scheme == "amqps"
        unknown = [name for name in options if name not in FILES or not secure]
        if unknown:
            raise Malformed(f"the address of a broker has an option {unknown[0]!r}: an amqps:// one may have "
                            f"{', '.join(FILES)}, an amqp:// one has none")  # fmt: skip
        host, port = parts.hostname, port or PORTS[parts.scheme]
        self.shown = f"{host}:{port}"
        """Without the password."""
        self.user = unquote(parts.username or "guest")
        self.vhost = unquote(parts.path[1:]) or "/"
        self.parameters = pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=self.vhost,
            credentials=pika.PlainCredentials(self.user, unquote(parts.password or "guest")),
            ssl_options=pika.SSLOptions(_context(options), host) if secure else None,
            heartbeat=HEARTBEAT_S,
            blocked_connection_timeout=BLOCKED_S,
            socket_timeout=CONNECT_S,
            stack_timeout=HANDSHAKE_S,
            tcp_options={"TCP_USER_TIMEOUT": UNANSWERED_MS},
            client_properties={"connection_name": "scitq"},
        )


def _context(options: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("cafile"))
        if "certfile" in options:
            context.load_cert_chain(options["certfile"], options.get("keyfile"))
    except OSError as error:  # of ssl too
        named = ", ".join(options.values())
        raise Malformed(f"the certificates of a broker's address cannot be read ({named}): {error}") from error
    return context
