"""Every setting: its name, what is right for it, its default, and what it is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from scitq.config import folders, values
from scitq.config.declared import Computed, Hidden, Setting, setting
from scitq.config.values import Kind, Network, ServerAddress, Token
from scitq.errors import Malformed

SCRATCH = Path("/scratch")

STORE = Kind("sqlite:///folder, postgresql://user:password@host/database, or the path of a folder", values.store)
BUS = Kind("local:, or amqp:// and amqps:// addresses separated by commas (in a password, %2C)", values.bus)
ADMIN = Kind("http://user:password@host:port, or https, of the management API of the broker", values.admin)
BROKERS = Kind("amqp:// and amqps:// addresses without user and password, separated by commas", values.brokers)
PREFIX = Kind("1 to 40 letters, digits, - and _, a letter or digit first", values.prefix)
HOST = Kind("a host name or an IP address", values.host)
PORT = Kind("a number from 1 to 65535, or 0 for any free port", lambda text: values.number(text, 0, 65_535))
SERVER = Kind("[scheme://][x:TOKEN@]host[:port] with the scheme http or https", values.server)
TOKEN = Kind("a token as its server gave it: 16 characters or more, letters, digits and -._~+/", Token)
AUTH = Kind("token or none", values.choice("token", "none"))
NETWORKS = Kind("networks as 10.0.0.0/8,fd00::/8, without bits behind the prefix", values.networks)
PATH = Kind("a path; in a file it is absolute or begins with ~", values.path)
LEVEL = Kind("DEBUG, INFO, WARNING, ERROR or CRITICAL", values.choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
BYTES = Kind("a number of bytes without a unit", lambda text: values.number(text, 0, 10**15))
COUNT = Kind("a number from 0 to 1000", lambda text: values.number(text, 0, 1_000))
WEB = Kind("an address that begins with http:// or https://", values.admin)
PLACES = Kind("addresses that begin with ftp://, http:// or https://, separated by spaces", values.places)
IMAGE = Kind("the name of an image, as ncbi/sra-tools:3.1", values.image)

_RCLONE_WORDS = "`/etc/rclone.conf` where there is one, else `~/.config/rclone/rclone.conf`"


def _fixed(default: str) -> Computed[str | None]:
    """What `scitq.fetch`, which stands alone, knows by itself: a test holds the two together."""
    return Computed(f"`{default}`", lambda above, environ: None)


def _data(above: Mapping[str, Any], environ: Mapping[str, str]) -> Path:
    folder = folders.data_folder(environ)
    if folder is None:
        raise Malformed("SCITQ_DATA has no default, because this user has no home folder: set it to a path")
    return folder


def _workdir(above: Mapping[str, Any], environ: Mapping[str, str]) -> Path:
    # Never a fixed name in /tmp: whoever makes it first owns what runs there.
    usable = SCRATCH.is_dir() and os.access(SCRATCH, os.W_OK | os.X_OK)
    return SCRATCH if usable else Path(above["data"]) / "work"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """All settings, read and right. `sources` says of each name where its value is from; `notes` are warnings."""

    data: Path = setting(
        "SCITQ_DATA", PATH, Computed("`scitq` in `$XDG_DATA_HOME` or `~/.local/share`", _data),
        "The folder in which a server keeps what is its own; nobody else may enter it.",
    )  # fmt: skip
    store: str = setting(
        "SCITQ_STORE", STORE, Computed("the folder of `SCITQ_DATA`", lambda above, _: str(above["data"])),
        "Where events, views and output are kept.", Hidden.PASSWORD,
    )  # fmt: skip
    bus: tuple[str, ...] = setting(
        "SCITQ_BUS", BUS, "local:",
        "What carries messages: the server's own process, or a RabbitMQ broker at any of these addresses.",
        Hidden.PASSWORD,
    )  # fmt: skip
    bus_admin: str | None = setting(
        "SCITQ_BUS_ADMIN", ADMIN, None,
        "The management API of the broker, by which a server makes broker users for agents that talk to it directly; "
        "without it agents use the server's gateway.",
        Hidden.PASSWORD,
    )  # fmt: skip
    bus_public: tuple[str, ...] | None = setting(
        "SCITQ_BUS_PUBLIC", BROKERS, None,
        "The addresses of the brokers as agents see them, when they are others than those in `SCITQ_BUS`.",
        Hidden.PASSWORD,
    )  # fmt: skip
    bus_prefix: str = setting(
        "SCITQ_BUS_PREFIX", PREFIX, "scitq",
        "What all names on the broker begin with: servers with different ones share a broker and do not meet there.",
    )  # fmt: skip
    host: str = setting("SCITQ_HOST", HOST, "127.0.0.1", "The address on which a server listens.")
    port: int = setting("SCITQ_PORT", PORT, "5000", "The port on which a server listens.")
    server: ServerAddress = setting(
        "SCITQ_SERVER", SERVER, "127.0.0.1",
        "The server that clients and workers talk to; its port is 5000, or 443 with https, unless it is given.",
        Hidden.PASSWORD,
    )  # fmt: skip
    token: Token | None = setting(
        "SCITQ_TOKEN", TOKEN, None,
        "The token that clients send; a client on the server's machine, run by the same user, finds it by itself.",
        Hidden.ALL,
    )  # fmt: skip
    auth: str = setting("SCITQ_AUTH", AUTH, "token", "Whether a server asks for a token; none is for closed networks.")
    trusted: tuple[Network, ...] = setting(
        "SCITQ_TRUSTED", NETWORKS, "", "Networks whose machines a server admits without a token."
    )
    base_workdir: Path = setting(
        "BASE_WORKDIR", PATH, Computed("`/scratch` where it can be written, else `work` in `SCITQ_DATA`", _workdir),
        "The folder in which a worker makes the working folders of its tasks.",
    )  # fmt: skip
    rclone_conf: Path | None = setting(
        "SCITQ_RCLONE_CONF", PATH, Computed(_RCLONE_WORDS, lambda above, environ: None),
        "The file in which rclone's remotes are described: workers and `scitq-fetch` reach `s3://`, `azure://` and "
        "others through them. A program that imports `scitq.fetch` reads it from its environment only.",
    )  # fmt: skip
    ena_api: str | None = setting(
        "SCITQ_ENA_API", WEB, _fixed("https://www.ebi.ac.uk/ena/portal/api"),
        "The portal of the European Nucleotide Archive, or a mirror of it: for `run+fastq://`.",
    )  # fmt: skip
    ena_files: str | None = setting(
        "SCITQ_ENA_FILES", PLACES, _fixed("ftp:// https://"),
        "How the files that this portal lists are fetched, in this order; `https://mirror/ena` replaces their host.",
    )  # fmt: skip
    sra_files: str | None = setting(
        "SCITQ_SRA_FILES", WEB, _fixed("https://sra-pub-run-odp.s3.amazonaws.com/sra"),
        "Where the archives of SRA's runs are: for `run+fastq@sra://`.",
    )  # fmt: skip
    eutils: str | None = setting(
        "SCITQ_EUTILS", WEB, _fixed("https://eutils.ncbi.nlm.nih.gov/entrez/eutils"),
        "NCBI's search, by which the runs of a project are found at SRA.",
    )  # fmt: skip
    sra_image: str | None = setting(
        "SCITQ_SRA_IMAGE", IMAGE, _fixed("ncbi/sra-tools"),
        "The container of SRA's programs, for machines on which they are not installed.",
    )  # fmt: skip
    aspera_image: str | None = setting(
        "SCITQ_ASPERA_IMAGE", IMAGE, _fixed("martinlaurent/ascli:4.23.0"),
        "The container of Aspera, for machines without ascp.",
    )  # fmt: skip
    aspera_key: Path | None = setting(
        "SCITQ_ASPERA_KEY", PATH, None, "The key file for Aspera; without it the one that came with ascp is used.",
    )  # fmt: skip
    log_file: Path | None = setting("LOG_FILE", PATH, None, "The file of the log; without it the log goes to stderr.")
    log_level: str = setting("LOG_LEVEL", LEVEL, "INFO", "The least level that is logged.")
    log_file_max_size: int = setting(
        "LOG_FILE_MAX_SIZE", BYTES, "10000000", "The size at which a new log file is begun; 0 means never."
    )
    log_file_keep: int = setting("LOG_FILE_KEEP", COUNT, "3", "How many full log files are kept.")

    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def shown(self) -> dict[str, str]:
        """Each value as people may see it, by its setting's name."""
        return {one.name: one.shown(getattr(self, attribute)) for attribute, one in DECLARED.items()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"


DECLARED: dict[str, Setting] = {
    one.name: one.metadata["setting"] for one in fields(Settings) if "setting" in one.metadata
}
NAMES = {one.name: one for one in DECLARED.values()}
FOR_FETCH = (
    "rclone_conf", "ena_api", "ena_files", "sra_files", "eutils", "sra_image", "aspera_image", "aspera_key"
)  # fmt: skip
"""What is for `scitq.fetch`, which reads it from the environment."""
