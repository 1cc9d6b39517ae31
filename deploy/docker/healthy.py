"""Whether a container of scitq is well, for its health check: `healthy.py server` or `healthy.py worker`.

A server is when it says itself that it is ready; a worker when it, or one of its shims, has a connection to a server.
"""

import os
import sys
import urllib.request


def server() -> str:
    port = os.environ.get("SCITQ_PORT") or "5000"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=4) as answer:
            return "" if answer.status == 200 else f"it answers {answer.status}"
    except OSError as error:
        return str(error)


def worker() -> str:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any("scitq" in word for word in process.info["cmdline"] or ()):
            connections = process.net_connections("tcp")
            if any(one.status == psutil.CONN_ESTABLISHED for one in connections):
                return ""
    return "it is not connected to a server"


if __name__ == "__main__":
    trouble = {"server": server, "worker": worker}[sys.argv[1]]()
    if trouble:
        sys.exit(trouble)
