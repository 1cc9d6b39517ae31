"""fasp://user@host:path – Aspera, which only its own program speaks: ascp where it is installed, else its container.

Reading only, and one file at a time: Aspera cannot be asked what there is. The program authenticates with a key; a
public one, which the archives accept, comes with every installation of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Final, NamedTuple, Self

from scitq.fetch import faults, tools
from scitq.fetch.backend import Backend
from scitq.fetch.errors import Corrupt, NotInstalled, UnsupportedError
from scitq.fetch.part import Part
from scitq.fetch.services import ASPERA_IMAGE, ASPERA_KEY
from scitq.fetch.uri import URI
from scitq.fetch.watch import FileWatch

ASCP: Final = tools.Tool("ascp", "ascp", ASPERA_IMAGE)
PORT: Final = 33001
MOST_KBPS: Final = 300_000
USERS: Final = {"ebi.ac.uk": "era-fasp", "ncbi.nlm.nih.gov": "anonftp"}
"""Who asks where no user is named: whom the public archives let in."""
_AUTHORITY: Final = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[A-Za-z0-9.-]+?)(?::|(?=/))(?P<path>.+)", re.DOTALL)
_KEYS: Final = ("asperaweb_id_dsa.openssh", "aspera_tokenauth_id_rsa", "aspera_bypass_rsa.pem", "aspera_bypass_dsa.pem")
_HOMES: Final = ("~/.aspera/connect/etc", "~/.aspera/cli/etc", "~/.aspera/sdk", "~/.aspera/ascli/sdk")
_KEY_IN_IMAGE: Final = "/ibm_aspera/aspera_bypass_dsa.pem"


class Place(NamedTuple):
    """A file on a server that speaks Aspera."""

    user: str
    host: str
    path: str

    @classmethod
    def of(cls, uri: URI) -> Self:
        found = _AUTHORITY.fullmatch(uri.path)
        assert found is not None, "a URI of fasp has a host and a path"
        host, path = found["host"], found["path"]
        user = found["user"] or next((user for end, user in USERS.items() if f".{host}".endswith(f".{end}")), None)
        if user is None:
            raise UnsupportedError(f"{uri.shown}: name the user, as in fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/file")
        return cls(user, host, f"./{path}" if path.startswith("-") else path)


class Aspera(Backend):
    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        if uri.is_folder:
            raise self._cannot(uri, "be listed: name a file")
        place = Place.of(uri)
        folder = f"{os.path.abspath(part.path)}.d"
        with faults.of_files(part.target):
            os.makedirs(folder, exist_ok=True)
        part.keep(folder)  # with what a try that was cut has left: the next one goes on there
        arrived = os.path.join(folder, uri.name)

        def grown() -> int:
            size = tools.bytes_in(folder)
            if size > part.size:
                watch.moved(size - part.size)
                part.size = size
            return size

        named = os.environ.get(ASPERA_KEY)
        if named and not os.path.isfile(named):
            raise NotInstalled(f"{ASPERA_KEY} names the key {named}, which is not there")
        way = tools.way_of(
            ASCP, folder, [os.path.abspath(named)] if named else [], ["--env", f"ASCLI_HOME={folder}/.ascli"]
        )
        words = _of_image(place, folder, named) if way.container else _of_program(place, folder, way.words[0], named)
        tools.run(way, words, folder, watch.cancellation, watch.stall_s, grown, shown=uri.shown)
        with faults.of_files(part.target):
            if not os.path.isfile(arrived) or os.path.islink(arrived):
                raise Corrupt(f"{uri.shown}: ascp says that all is well, and has brought no file of that name")
            os.replace(arrived, part.path)
        part.arrived()


def _of_program(place: Place, folder: str, program: str, named: str | None) -> list[str]:
    """-Q: fair to others, -T: the archives' data is public, -k 1: go on where it was cut, if the file is the same."""
    key = named or _key_beside(program)
    if key is None and "ASPERA_SCP_PASS" not in os.environ:
        raise NotInstalled(f"ascp is here, and none of the keys that come with it: name one in {ASPERA_KEY}")
    identity = [] if key is None else ["-i", key]
    limits = ["-Q", "-T", "-k", "1", "-l", f"{MOST_KBPS // 1000}m", "-P", str(PORT)]
    return [*limits, *identity, "--mode=recv", f"--user={place.user}", f"--host={place.host}", place.path, f"{folder}/"]


def _of_image(place: Place, folder: str, named: str | None) -> list[str]:
    """What stands before ascp in its image has a language of its own."""
    transfer = json.dumps({"target_rate_kbps": MOST_KBPS, "resume_policy": "attributes"})
    return [
        "server", "download", place.path, f"--to-folder={folder}/", f"--url=ssh://{place.host}:{PORT}",
        f"--username={place.user}", f"--ssh-keys={named or _KEY_IN_IMAGE}", f"--ts=@json:{transfer}", "--retry=0",
    ]  # fmt: skip


def _key_beside(program: str) -> str | None:
    real = os.path.dirname(os.path.realpath(shutil.which(program) or program))
    homes = [real, os.path.join(os.path.dirname(real), "etc"), *map(os.path.expanduser, _HOMES)]
    return next((path for home in homes for key in _KEYS if os.path.isfile(path := os.path.join(home, key))), None)
