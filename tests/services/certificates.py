"""An authority of the tests' own, and a certificate of it for 127.0.0.1."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.services.private import ServiceFailed


def certify(folder: Path) -> None:
    """Writes `authority.pem`, `server.pem` and `server.key`."""
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    for words in (
        ["req", "-x509", *new, "-keyout", "authority.key", "-out", "authority.pem", "-subj", "/CN=test"],
        ["req", *new[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"],
        ["x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial",
         "-days", "3650", "-extfile", "extensions", "-out", "server.pem"],
    ):  # fmt: skip
        done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceFailed(f"openssl {words[0]} failed:\n{done.stderr}")
