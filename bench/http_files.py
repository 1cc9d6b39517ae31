"""A web server that is no bottleneck: files of a folder by `sendfile`, with ranges; it can be told to cut.

    python -m bench.http_files FOLDER [BYTES]

The port is its first line. Of the first answer, with BYTES, no more than these are sent; each answer is told in a line
of its own: from which byte on, and how many were sent.
"""

from __future__ import annotations

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
CUTS = [int(word) for word in sys.argv[2:]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """What matters is told by `do_GET`."""

    def do_GET(self) -> None:
        with (FOLDER / Path(self.path).name).open("rb") as file:
            size = file.seek(0, 2)
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(size - start))
            self.send_header("Last-Modified", self.date_time_string(1_600_000_000))
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}") if asked else None
            self.end_headers()
            self.wfile.flush()
            count = CUTS.pop(0) if CUTS else size - start
            sent = self.connection.sendfile(file, start, count) if self.command == "GET" else 0
            print(start, sent, flush=True)
        self.close_connection = True

    do_HEAD = do_GET


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
