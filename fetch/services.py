"""Where the public archives are, and the programs that speak to them: each may be told to be elsewhere.

They are read from the environment when they are needed, so that a mirror, or a test, is named at any moment. A name is
that of a setting of a worker (docs/parameters.md); a program that imports `scitq.fetch` has it in its environment.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

from scitq.fetch.uri import escaped

ENA_API: Final = "SCITQ_ENA_API"
ENA_FILES: Final = "SCITQ_ENA_FILES"
SRA_FILES: Final = "SCITQ_SRA_FILES"
EUTILS: Final = "SCITQ_EUTILS"
SRA_IMAGE: Final = "SCITQ_SRA_IMAGE"
ASPERA_IMAGE: Final = "SCITQ_ASPERA_IMAGE"
ASPERA_KEY: Final = "SCITQ_ASPERA_KEY"

DEFAULTS: Final = {
    ENA_API: "https://www.ebi.ac.uk/ena/portal/api",
    ENA_FILES: "ftp:// https://",
    SRA_FILES: "https://sra-pub-run-odp.s3.amazonaws.com/sra",
    EUTILS: "https://eutils.ncbi.nlm.nih.gov/entrez/eutils",
    SRA_IMAGE: "ncbi/sra-tools",
    ASPERA_IMAGE: "martinlaurent/ascli:4.23.0",
}


def service(name: str) -> str:
    """The address, or the image; without a final slash, as a path is put behind it."""
    value = os.environ.get(name, "").strip() or DEFAULTS[name]
    return value if value.endswith("://") else value.rstrip("/")


def places_of(listed: str, options: str = "") -> list[str]:
    """The addresses of a file that ENA lists as `host/path`: of that host, or below the places named instead."""
    host, _, path = listed.partition("/")
    found = []
    for place in service(ENA_FILES).split():
        written = quote(path) if place.startswith("http") else escaped(path)
        address = f"{place}{host}/{written}" if place.endswith("://") else f"{place.rstrip('/')}/{written}"
        found.append(with_options(address, options))
    return found


def with_options(address: str, options: str) -> str:
    """`@aria2`, or nothing, put behind the protocol."""
    return address.replace("://", f"{options}://", 1)
