"""Moving data between URIs; usable alone on a bare machine.

    from scitq.fetch import get
    get("https://host/genome.fa.gz|gunzip", "./")

`get put copy sync delete list_content info check_uri` have the arguments of scitq 1, and by keyword `progress` (a
callback, see `watch.Progress`) and `cancellation` (a `watch.Cancellation`). They wait until all is done: call them in a
thread. Errors: `errors.py`. Places: `uri.py`. A protocol of one's own: `backend.py`.
"""
