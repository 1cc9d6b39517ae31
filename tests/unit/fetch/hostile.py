"""Archives that mean harm, by name: each is to be refused, with nothing written outside of its folder."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any, Final

from scitq.fetch.budget import Limits

SMALL: Final = Limits(ratio=10, free_bytes=1 << 20, entries=100)
"""So that a bomb need not be large to be one."""
OUTSIDE: Final = "outside"
"""What the archives reach for: it lies beside the folder into which they are extracted."""


def tar(*members: dict[str, Any], format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for member in members:
            content = member.pop("content", b"")
            info = tarfile.TarInfo(member.pop("name", "a"))
            info.size = len(content)
            for name, value in member.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def raw_tar(name: bytes, size: bytes = b"00000000001\0", kind: bytes = b"0", content: bytes = b"x") -> bytes:
    """One header written by hand, with a checksum that is right."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108] = b"0000644\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[124 : 124 + len(size)] = size
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(1024)


def link(name: str, to: str) -> dict[str, Any]:
    return {"name": name, "type": tarfile.SYMTYPE, "linkname": to}


def hard(name: str, to: str) -> dict[str, Any]:
    return {"name": name, "type": tarfile.LNKTYPE, "linkname": to}


def sparse(name: str, size: int) -> dict[str, Any]:
    """A file that is one hole, in the way GNU tar writes it."""
    about = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    headers = {f"GNU.sparse.{key}": value for key, value in about.items()}
    return {"name": name, "pax_headers": headers, "content": b"1\n0\n0\n".ljust(512, b"\0")}


def zip_of(*entries: tuple[str, bytes, int], system: int = 3, method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.create_system, info.external_attr, info.compress_type = name, system, mode << 16, method
            archive.writestr(info, content)
    return made.getvalue()


def lying_zip() -> bytes:
    """It says that it holds ten bytes, and holds ten million."""
    made = bytearray(zip_of(("a", bytes(10_000_000), 0o100644), method=zipfile.ZIP_DEFLATED))
    at = made.rindex(b"PK\x01\x02")
    made[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(made)


def overlapping_zip() -> bytes:
    """A hundred names for one and the same million bytes."""
    made = bytearray(zip_of(("a", bytes(200_000), 0o100644), method=zipfile.ZIP_DEFLATED))
    start = made.rindex(b"PK\x01\x02")
    end = made.rindex(b"PK\x05\x06")
    entry = bytes(made[start:end])
    tail = bytearray(made[end:])
    entries = b"".join(entry[:46] + b"%c" % (97 + number % 26) + entry[47:] for number in range(90))
    tail[8:10] = tail[10:12] = struct.pack("<H", 90)
    tail[12:16] = struct.pack("<I", len(entries))
    return bytes(made[:start]) + entries + bytes(tail)


def encrypted_zip() -> bytes:
    made = bytearray(zip_of(("a", b"x", 0o100644)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(mark) + at] |= 1
    return bytes(made)


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
DEEP = "d/" * 300
WHOLE = tar({"name": "a", "content": b"x" * 2000}, {"name": "b", "content": b"y" * 2000})
BIG = bytes(20_000_000)

TARS: Final[dict[str, Callable[[], bytes]]] = {
    "a name that climbs": lambda: tar({"name": f"../{OUTSIDE}/x", "content": b"x"}),
    "one that climbs later": lambda: tar({"name": f"a/b/../../../{OUTSIDE}/x", "content": b"x"}),
    "only up": lambda: tar({"name": "..", "content": b"x"}),
    "up, as a folder": lambda: tar({"name": "../new", "type": tarfile.DIRTYPE}),
    "an absolute name": lambda: raw_tar(b"/tmp/scitq-hostile"),
    "an absolute name with two slashes": lambda: raw_tar(b"//tmp/scitq-hostile"),
    "up, in a name of its own header": lambda: tar({"name": "../" + "x" * 200, "content": b"x"}),
    "up, in a GNU name": lambda: tar({"name": "../" + "x" * 200, "content": b"x"}, format=tarfile.GNU_FORMAT),
    "a NUL in a name": lambda: tar({"name": "a", "pax_headers": {"path": "a\0/../../x"}, "content": b"x"}),
    "no name": lambda: raw_tar(b""),
    "a dot": lambda: raw_tar(b"."),
    "a link out": lambda: tar(link("a", f"../{OUTSIDE}")),
    "an absolute link": lambda: tar(link("a", "/etc/passwd")),
    "an empty link": lambda: tar({"name": "a", "type": tarfile.SYMTYPE, "pax_headers": {"linkpath": ""}}),
    "a link out from below": lambda: tar(link("a/b/c", "../../../x")),
    "a link that climbs later": lambda: tar(link("a", f"b/../../{OUTSIDE}")),
    "a link through a link": lambda: tar(link("a/b/l", "../.."), link("x", "a/b/l/../..")),
    "a link to where all is": lambda: tar(link(".", "a")),
    "a file through a link": lambda: tar(link("a", "b"), {"name": "a/x", "content": b"x"}),
    "a file through a link out": lambda: tar(link("a", f"../{OUTSIDE}"), {"name": "a/x", "content": b"x"}),
    "a link in place of a folder": lambda: tar({"name": "a/x", "content": b"x"}, link("a", "b")),
    "a link in place of a file": lambda: tar({"name": "a", "content": b"x"}, link("a", "b")),
    "a folder in place of a file": lambda: tar({"name": "a", "content": b"x"}, {"name": "a/b", "content": b"x"}),
    "a file in place of a folder": lambda: tar({"name": "a/b", "content": b"x"}, {"name": "a", "content": b"x"}),
    "a hard link out": lambda: tar(hard("a", f"../{OUTSIDE}/victim")),
    "an absolute hard link": lambda: tar(hard("a", "/etc/passwd")),
    "a hard link to nothing": lambda: tar(hard("a", "b")),
    "a hard link to itself": lambda: tar({"name": "a", "content": b"x"}, hard("a", "a")),
    "a hard link to a link": lambda: tar(link("a", "b"), hard("c", "a")),
    "a pipe": lambda: tar({"name": "a", "type": tarfile.FIFOTYPE}),
    "a device": lambda: tar({"name": "a", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
    "a disk": lambda: tar({"name": "a", "type": tarfile.BLKTYPE, "devmajor": 8}),
    "a bomb": lambda: gzip.compress(tar({"name": "a", "content": BIG})),
    "a bomb of xz": lambda: lzma.compress(tar({"name": "a", "content": BIG})),
    "zeros behind the end": lambda: gzip.compress(WHOLE + BIG),
    "a file larger than any disk": lambda: raw_tar(b"a", b"\x80" + bytes(3) + b"\x7f" * 8),
    "a file of less than no bytes": lambda: raw_tar(b"a", b"\xff" * 12),
    "less than no bytes, in a header": lambda: tar({"name": "a", "pax_headers": {"size": "-512"}, "content": b"x"}),
    "a name of a gigabyte": lambda: raw_tar(b"a", b"10000000000\0", b"L"),
    "a header of a gigabyte": lambda: raw_tar(b"a", b"10000000000\0", b"x"),
    "names that name names": lambda: b"".join(raw_tar(b"a", kind=b"L")[:1024] for _ in range(5000)),
    "holes larger than any disk": lambda: tar(sparse("a", 9 * 10**12)),
    "too many names": lambda: tar(*({"name": f"f{number}"} for number in range(200))),
    "one name too often": lambda: tar(*({"name": "f"} for _ in range(200))),
    "folders without end": lambda: tar({"name": DEEP, "type": tarfile.DIRTYPE}),
    "a name that is too long": lambda: tar({"name": "x" * 300, "content": b"x"}),
    "only half of it": lambda: WHOLE[:1500],
    "half of it, compressed": lambda: gzip.compress(WHOLE * 50)[:-200],
    "damage in the middle": lambda: WHOLE[:2560] + b"damage" * 100 + WHOLE[3160:],
    "no archive": lambda: b"<html>Please log in</html>" * 50,
    "nothing": lambda: b"",
}

ZIPS: Final[dict[str, Callable[[], bytes]]] = {
    "a name that climbs": lambda: zip_of((f"../{OUTSIDE}/x", b"x", FILE)),
    "an absolute name": lambda: zip_of(("/tmp/scitq-hostile", b"x", FILE)),
    "one of Windows that climbs": lambda: zip_of((f"..\\{OUTSIDE}\\x", b"x", 0), system=0),
    "a drive of Windows": lambda: zip_of(("C:\\x", b"x", 0), system=0),
    "a link out": lambda: zip_of(("a", f"../{OUTSIDE}".encode(), LINK)),
    "an absolute link": lambda: zip_of(("a", b"/etc/passwd", LINK)),
    "a file through a link": lambda: zip_of(("a", b"b", LINK), ("a/x", b"x", FILE)),
    "a pipe": lambda: zip_of(("a", b"", stat.S_IFIFO | 0o644)),
    "a device": lambda: zip_of(("a", b"", stat.S_IFCHR | 0o644)),
    "a bomb": lambda: zip_of(("a", BIG, FILE), method=zipfile.ZIP_DEFLATED),
    "a bomb that lies": lying_zip,
    "a bomb that overlaps": overlapping_zip,
    "too many names": lambda: zip_of(*((f"f{number}", b"", FILE) for number in range(200))),
    "folders without end": lambda: zip_of((DEEP, b"", stat.S_IFDIR | 0o755)),
    "a password": encrypted_zip,
    "only half of it": lambda: zip_of(("a", b"x" * 2000, FILE))[:-30],
    "no archive": lambda: b"<html>Please log in</html>" * 50,
}
