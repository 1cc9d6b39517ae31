"""Moving data between URIs; usable alone on a bare machine.

    from scitq.fetch import get
    get("https://host/genome.fa.gz|gunzip", "./")

The verbs have the arguments of scitq 1, and by keyword `progress` (a callback, which is given a `Progress`) and
`cancellation` (a `Cancellation`, to be set from another thread). They wait until all is done, and raise a `FetchError`.
A protocol of one's own: `backend.py`.
"""

from scitq.fetch.backend import Item
from scitq.fetch.backends import check_uri
from scitq.fetch.budget import Limits
from scitq.fetch.deleting import delete, recursive_delete
from scitq.fetch.disk_usage import ncdu
from scitq.fetch.errors import Cancelled, FetchError, FetchErrorNoRepeat, UnsupportedError
from scitq.fetch.places import get_file_uri, pathjoin, place
from scitq.fetch.tries import Patience
from scitq.fetch.uri import URI
from scitq.fetch.verbs import copy, get, info, list_content, put, sync
from scitq.fetch.watch import Cancellation, Progress

__all__ = [
    "URI",
    "Cancellation",
    "Cancelled",
    "FetchError",
    "FetchErrorNoRepeat",
    "Item",
    "Limits",
    "Patience",
    "Progress",
    "UnsupportedError",
    "check_uri",
    "copy",
    "delete",
    "get",
    "get_file_uri",
    "info",
    "list_content",
    "ncdu",
    "pathjoin",
    "place",
    "put",
    "recursive_delete",
    "sync",
]
