"""All that can be asked of a server, in one class."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, overload

from scitq.lib.batches import Batches
from scitq.lib.executions import Executions
from scitq.lib.operating import Operating
from scitq.lib.tasks import Tasks
from scitq.lib.verbs import R
from scitq.lib.workers import Workers


class Server(Tasks[R], Workers[R], Executions[R], Batches[R], Operating[R]):
    """A scitq server: `Server()` is the one that SCITQ_SERVER names, `Server("host")` that on another machine.

    Answers are dicts, or, with `style="object"`, objects with attributes. Whatever fails on the way is sent again, and
    is done once. What cannot be is a ScitqError: ServerError, NotAllowed, Unreachable.
    """

    # For type checkers: what the style makes of the answers. `Verbs.__init__` does the work.
    if TYPE_CHECKING:

        @overload
        def __init__(
            self: Server[SimpleNamespace],
            url_or_host: str | None = None,
            *,
            style: Literal["object"],
            asynchronous: bool = True,
            get_timeout: float | None = 150,
            put_timeout: float | None = 30,
            patience_s: float | None = None,
        ) -> None: ...

        @overload
        def __init__(
            self: Server[SimpleNamespace],
            url_or_host: str | None,
            style: Literal["object"],
            asynchronous: bool = True,
            get_timeout: float | None = 150,
            put_timeout: float | None = 30,
            *,
            patience_s: float | None = None,
        ) -> None: ...

        @overload
        def __init__(
            self: Server[dict[str, Any]],
            url_or_host: str | None = None,
            style: Literal["dict"] = "dict",
            asynchronous: bool = True,
            get_timeout: float | None = 150,
            put_timeout: float | None = 30,
            *,
            patience_s: float | None = None,
        ) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
