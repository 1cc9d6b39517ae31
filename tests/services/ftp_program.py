"""An FTP server of one folder: `python -m tests.services.ftp_program FOLDER PORT [CUT…]`.

Of the first downloads, each is cut after so many bytes: both its connections, without a word. Each command is logged.
"""

from __future__ import annotations

import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer

FOLDER, PORT, *CUTS = sys.argv[1:]
cuts = [int(cut) for cut in CUTS]


class CutData(DTPHandler):  # type: ignore[misc]  # the library has no types
    left: int | None = None

    def push_with_producer(self, producer: object) -> None:
        self.left = cuts.pop(0) if cuts else None
        super().push_with_producer(producer)

    def send(self, data: bytes) -> int:
        if self.left is None:
            return int(super().send(data))
        sent = int(super().send(data[: self.left])) if self.left else 0
        self.left -= sent
        if self.left == 0:
            self.cmd_channel.close()
        return sent


class Handler(FTPHandler):  # type: ignore[misc]  # the library has no types
    dtp_handler = CutData
    use_sendfile = False  # or nothing would pass through `send`
    encoding = "utf-8"
    unicode_errors = "surrogateescape"

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        print(cmd, arg, flush=True)
        super().pre_process_command(line, cmd, arg)


authorizer = DummyAuthorizer()
authorizer.add_anonymous(FOLDER, perm="elradfmwMT")
authorizer.add_user("someone", "Geh@im", FOLDER)
Handler.authorizer = authorizer
assert os.path.isdir(FOLDER)
FTPServer(("127.0.0.1", int(PORT)), Handler).serve_forever()
