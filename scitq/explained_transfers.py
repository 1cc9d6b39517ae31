"""What can go wrong when data moves: the part of the index (`explained.py`) for the errors of `scitq.fetch`."""

from __future__ import annotations

from typing import Final

from scitq.trouble import Trouble

_RAISED: Final = "scitq.fetch.errors."

TRANSFERS: Final = (
    Trouble(
        "fetch-not-found", "There is nothing of that name where the data should come from, or no host of that name.",
        "Look what there is: `scitq-fetch nrlist` of the folder above. Names of stores are case-sensitive, a folder "
        "ends with a slash, and a bucket may be in another account than the one of rclone.conf.",
        error=f"{_RAISED}NotFound",
        said="s3://bucket/reads: there is nothing of that name",
    ),
    Trouble(
        "fetch-not-authorised", "It may not be read, or written, with the credentials at hand, or without any.",
        "Of a store, see the keys in rclone.conf (`SCITQ_RCLONE_CONF` says which one): those of the user who runs the "
        "worker. Of http and ftp, put them into the address: `ftp://user:password@host/file`. Of this machine, see the "
        "owner of the file and the mode of its folder.",
        error=f"{_RAISED}NotAuthorised",
        said="https://host/reads: the server says 403 Forbidden",
    ),
    Trouble(
        "fetch-quota", "The store takes no more: what its owner may use is used up.",
        "Delete there what is not needed (`scitq-fetch ncdu URI` shows what is large), or ask for more.",
        error=f"{_RAISED}Quota",
    ),
    Trouble(
        "fetch-no-space", "The disk of this machine is full. What was written of the file is removed.",
        "Make room, or copy to another disk; of a worker, `BASE_WORKDIR` names it.",
        error=f"{_RAISED}NoSpace",
    ),
    Trouble(
        "fetch-unreachable", "No connection, one that was cut again and again, or a server that stays busy.",
        "It was tried for a quarter of an hour. Is the host up, and reachable from this machine (a proxy, a firewall)? "
        "Sending the same again is safe.",
        error=f"{_RAISED}Unreachable",
    ),
    Trouble(
        "fetch-timed-out", "Nothing came for a minute, again and again, or far too little for the size of the file.",
        "Try later, or from a mirror. From Python, `patience=Patience(stall_s=…)` waits longer.",
        error=f"{_RAISED}TimedOut",
    ),
    Trouble(
        "fetch-changed", "The source became another file while it was read, each time that it was tried.",
        "Somebody writes to it: copy it when it is finished.",
        error=f"{_RAISED}Changed",
    ),
    Trouble(
        "fetch-corrupt", "What arrived is not what the source says it has (another size or MD5), or an archive is "
        "damaged. Nothing of it is kept.",
        "It was fetched again, with the same outcome: the file at the source is damaged, or its MD5 is that of another "
        "state of it. `scitq-fetch info --md5 URI` shows what the source says.",
        error=f"{_RAISED}Corrupt",
    ),
    Trouble(
        "fetch-not-safe", "An archive, or a name, would reach out of its folder or fill the disk: `..`, an absolute "
        "name, a link that leads out, a device, a bomb. Nothing of it is kept.",
        "Fetch the archive without the action and look into it. If it is good and only very large, "
        "`get(…, limits=Limits(…))` from Python allows for more.",
        error=f"{_RAISED}NotSafe",
    ),
    Trouble(
        "fetch-not-installed", "A program that this transfer needs is not on this machine.",
        "The sentence names it and says how to install it: rclone for stores, aria2 for `@aria2`, zstd for `.zst`, "
        "ncdu for `ncdu --run` (Debian: `apt-get install rclone aria2 zstd ncdu`).",
        error=f"{_RAISED}NotInstalled",
        said="aria2c is needed for this and is not installed (Debian: apt-get install aria2)",
    ),
    Trouble(
        "fetch-cancelled", "The transfer was called off: by Ctrl-C, by its program, or because the task was ended.",
        "Nothing: what was written of the file is removed.",
        error=f"{_RAISED}Cancelled",
    ),
    Trouble(
        "fetch-bad-uri", "The text is no URI, or of a protocol that nothing here speaks.",
        "The sentence gives the place of the fault and what may have been meant. The form is "
        "`protocol[@option]://path[|action]`; `s3`, `azure`, `gs` and others are there as soon as rclone.conf has a "
        "remote of that name.",
        error=f"{_RAISED}BadURI",
        said="this is no URI: there is no action 'untr' (at character 14); did you mean untar?",
    ),
    Trouble(
        "fetch-unsupported", "The protocol or the action cannot do that: http, for one, can neither list nor write.",
        "The sentence says what it cannot do; the table in docs/fetch.md says what each protocol can.",
        error=f"{_RAISED}UnsupportedError",
    ),
    Trouble(
        "fetch-no-repeat", "The transfer failed of something that will be the same however often it is tried.",
        "The sentence says of what. One of the entries around this one is the more exact.",
        error=f"{_RAISED}FetchErrorNoRepeat",
    ),
    Trouble(
        "fetch-error", "A transfer failed. This is the root of its errors: catching it catches each of them.",
        "The sentence says what happened; `retryable` says whether the same again may succeed.",
        error=f"{_RAISED}FetchError",
    ),
)  # fmt: skip
"""What transfers say, and what `scitq.fetch` raises."""
