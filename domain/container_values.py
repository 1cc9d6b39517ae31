"""The values of `docker run`'s options as the engine wants them: sizes, limits, devices, mounts, graphics cards.

Each function takes the text behind an option and gives what goes into the body of the engine's create request. What
cannot be meant raises ValueError, whose text goes on after "--option value ".
"""

from __future__ import annotations

import csv
import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Any, Final

Json = dict[str, Any]

_UNITS: Final = {unit: 1024**power for power, unit in enumerate("bkmgtp")}
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?(?:([kmgtp])i?b?|b)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(h|ms|us|µs|ns|m|s)")
_NANOSECONDS: Final = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_LIMITS: Final = {
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
}  # fmt: skip
_MODES: Final = {
    "ro", "rw", "z", "Z", "nocopy", "shared", "slave", "private", "rshared", "rslave", "rprivate", "cached",
    "delegated", "consistent",
}  # fmt: skip
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
MOST: Final = 2**63 - 1


def text(value: str) -> str:
    """As it is, and not nothing."""
    if not value:
        raise ValueError("needs a value")
    return value


def boolean(value: str) -> bool:
    if value.lower() in ("true", "t", "1"):
        return True
    if value.lower() in ("false", "f", "0"):
        return False
    raise ValueError("is neither true nor false")


def integer(least: int = -MOST, most: int = MOST) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,19}", value) is None or not least <= int(value) <= most:
            raise ValueError("is not a number that fits" if least == -MOST else f"is not a number from {least} on")
        return int(value)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return value

    return parse


def size(value: str) -> int:
    """512m, 1.5g, 4096: the units are those of 1024."""
    found = _SIZE.fullmatch(value)
    number = float(found[1]) * _UNITS[(found[2] or "b").lower()] if found is not None else MOST
    if found is None or number >= MOST:
        raise ValueError("is not a size, such as 512m or 8g")
    return int(number)


def size_or_unlimited(value: str) -> int:
    return -1 if value == "-1" else size(value)


def cpus(value: str) -> int:
    """In billionths, as the engine counts them."""
    if re.fullmatch(r"\d{1,6}(\.\d{1,9})?|\.\d{1,9}", value) is None:
        raise ValueError("is not a number of CPUs, such as 2 or 1.5")
    whole, _, part = value.partition(".")
    return int(whole or "0") * 10**9 + int(part.ljust(9, "0"))


def duration(value: str) -> int:
    """In nanoseconds."""
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("is not a duration, such as 30s or 1m30s")
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def pair(value: str) -> tuple[str, str]:
    """NAME=value."""
    name, sign, rest = value.partition("=")
    if not name or not sign:
        raise ValueError("is not of the form NAME=value")
    return name, rest


def label(value: str) -> tuple[str, str]:
    return pair(value if "=" in value else f"{value}=")


def variable(value: str) -> str:
    """NAME=value. Docker would look a name alone up around itself, where the worker keeps its secrets."""
    if "=" not in value:
        raise ValueError("would take the value from the worker's own environment: write NAME=value")
    pair(value)
    return value


def address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("is not an IP address") from None
    return value


def capability(value: str) -> str:
    name = text(value).upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def host(value: str) -> str:
    """name:address, or name=address; host-gateway for an address is the machine itself."""
    name, sign, where = value.partition("=" if "=" in value else ":")
    if not name or not sign:
        raise ValueError("is not of the form name:address")
    where = where.removeprefix("[").removesuffix("]")
    return f"{name}:{where if where == 'host-gateway' else address(where)}"


def ulimit(value: str) -> Json:
    name, sign, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    if not sign or name not in _LIMITS:
        raise ValueError(f"is not of the form name=soft:hard, with a name of {', '.join(sorted(_LIMITS))}")
    try:
        first, last = integer(-1)(soft), integer(-1)(hard or soft)
    except ValueError:
        raise ValueError("has limits that are no numbers") from None
    if last != -1 and (first > last or first == -1):
        raise ValueError("has a soft limit above the hard one")
    return {"Name": name, "Soft": first, "Hard": last}


def device(value: str) -> Json:
    """/dev/there[:/dev/here][:rwm]."""
    there, *more = value.split(":")
    rights = more.pop() if more and re.fullmatch("[rwm]{1,3}", more[-1]) else "rwm"
    here = more.pop() if more else there
    if more or not there.startswith("/") or not here.startswith("/"):
        raise ValueError("is not of the form /dev/there:/dev/here:rwm")
    return {"PathOnHost": there, "PathInContainer": here, "CgroupPermissions": rights}


def per_device(name: str, parse: Callable[[str], int]) -> Callable[[str], Json]:
    """/dev/there:number."""

    def both(value: str) -> Json:
        path, sign, number = value.partition(":")
        if not sign or not path.startswith("/"):
            raise ValueError("is not of the form /dev/there:number")
        return {"Path": path, name: parse(number)}

    return both


def gpus(value: str) -> Json:
    """all, a number, or fields like device=0, driver=nvidia, count=2, capabilities=utility."""
    request: Json = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    seen = set[str]()
    for field in fields(value):
        key, sign, given = field.partition("=")
        key, given = (key, given) if sign else ("count", field)
        if key in seen or (key == "count" and "device" in seen):
            raise ValueError("says twice how many: several devices are written '\"device=0,1\"', with both quotes")
        seen.add(key)
        match key:
            case "count":
                request["Count"] = -1 if given == "all" else integer(1, 10_000)(given)
            case "device":
                request["DeviceIDs"] = given.split(",")
            case "driver":
                request["Driver"] = given
            case "capabilities":
                request["Capabilities"] = [[*given.split(","), "gpu"]]
            case "options":
                request["Options"] = dict(map(pair, given.split(",")))
            case _:
                raise ValueError(f"has {key}, and there are count, device, driver, capabilities, options")
    if not seen & {"count", "device"}:
        request["Count"] = 1
    return request


def fields(value: str) -> list[str]:
    """Separated by commas; one that has commas is in double quotes."""
    try:
        (found,) = csv.reader([value], strict=True)
    except (csv.Error, ValueError):
        raise ValueError("is not a list with commas between its fields") from None
    if not all(found):
        raise ValueError("has an empty field")
    return found


def target(value: str) -> str:
    """A path in the container."""
    if not value.startswith("/") or posixpath.normpath(value) in ("/", "//"):
        raise ValueError("needs an absolute path in the container, which is not / itself")
    return value


def volume(value: str) -> tuple[str, str]:
    """there:/here[:ro] → (itself, "/here"); /here alone is a fresh volume: ("", "/here")."""
    parts = value.split(":")
    if len(parts) == 1:
        return "", target(value)
    if len(parts) > 3 or not parts[0]:
        raise ValueError("is not of the form /there:/here:ro")
    if not parts[0].startswith("/") and _NAME.fullmatch(parts[0]) is None:
        raise ValueError("needs an absolute path on the worker, or the name of a volume, before the colon")
    if len(parts) == 3 and not set(parts[2].split(",")) <= _MODES:
        raise ValueError(f"has a mode that is not of {', '.join(sorted(_MODES))}")
    return value, target(parts[1])


def tmpfs(value: str) -> tuple[str, str]:
    path, _, options = value.partition(":")
    return target(path), options


def inner_port(value: str) -> str:
    """80, or 53/udp."""
    number, _, protocol = value.partition("/")
    if not number.isdecimal() or not 0 < int(number) < 65536 or protocol not in ("", "tcp", "udp", "sctp"):
        raise ValueError("needs a port of the container, such as 80 or 53/udp")
    return f"{int(number)}/{protocol or 'tcp'}"


def port(value: str) -> tuple[Json, str]:
    """[[address:]there:]here[/udp]; ranges are written out."""
    *outer, inner = value.rsplit(":", 2) if not value.startswith("[") else value.replace("]:", "]\0", 1).split("\0")
    if len(outer) == 1 and value.startswith("["):
        there, _, inner = inner.rpartition(":")
        outer = [outer[0][1:-1], there]
    there = outer.pop() if outer else ""
    if there and (not there.isdecimal() or int(there) > 65535):
        raise ValueError("needs a port of the worker before the colon, such as 8080:80; a range is several options")
    return {"HostIp": address(outer[0]) if outer and outer[0] else "", "HostPort": there}, inner_port(inner)
