"""`uvicorn scitq.server:app` serves the role web, on the broker and the store that the settings name.

Several of these processes may stand behind one address; the engine and the projections run elsewhere (`scitq server
--role engine --role projections`). Importing this module loads and starts nothing: `app` is made when it is asked for.
Those who start scitq as in scitq 1, as a WSGI application, are told in one sentence how it is started now.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

WRONG_SERVER: Final = 3  # gunicorn takes this code for: do not try again
SENTENCE: Final = (
    "scitq is not a WSGI application any more: start it with `scitq server` (or `scitq up` for a server and a worker), "
    "or its web role alone with `uvicorn scitq.server:app`"
)


def __getattr__(name: str) -> Any:
    if name not in ("app", "application", "create_app", "make_app"):  # what WSGI servers ask for, one after the other
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "app" or _asked_by_wsgi():
        _refuse(SENTENCE)
    from scitq.bootstrap.asgi import WebRole
    from scitq.config import load
    from scitq.errors import ScitqError

    try:
        made = WebRole(load())
    except ScitqError as error:
        _refuse(str(error))
    globals()["app"] = made
    return made


def _asked_by_wsgi() -> bool:
    loaded = sys.modules
    if "gunicorn" in loaded:
        return not loaded.keys() & {"uvicorn.workers", "uvicorn_worker"}
    return bool(loaded.keys() & {"flask", "uwsgi", "mod_wsgi", "waitress"})


def _refuse(sentence: str) -> NoReturn:
    print(f"scitq-server: {sentence}", file=sys.stderr)
    raise SystemExit(WRONG_SERVER)


if __name__ == "__main__":
    _refuse(SENTENCE)
