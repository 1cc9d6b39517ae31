"""`--mount type=bind,source=/there,target=/here,readonly` as the engine wants it."""

from __future__ import annotations

from typing import Any, Final

from scitq.domain.container_values import boolean, fields, one_of, pair, size, target

Json = dict[str, Any]

_ALIASES: Final = {
    "src": "source", "destination": "target", "dst": "target", "ro": "readonly", "volume-nocopy": "nocopy",
    "bind-nonrecursive": "nonrecursive",
}  # fmt: skip
_SWITCHES: Final = {"readonly", "nocopy", "nonrecursive"}
_TYPES: Final = ("bind", "volume", "tmpfs")
_PROPAGATION: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_BELONGS: Final = {
    "bind-propagation": "bind", "nonrecursive": "bind", "nocopy": "volume", "volume-label": "volume",
    "volume-driver": "volume", "volume-opt": "volume", "volume-subpath": "volume", "tmpfs-size": "tmpfs",
    "tmpfs-mode": "tmpfs",
}  # fmt: skip
_KNOWN: Final = {"type", "source", "target", "readonly", "consistency", *_BELONGS}


def mount(value: str) -> Json:
    """One mount; what makes no sense for its type is refused."""
    made: Json = {"Type": "volume"}
    given: list[tuple[str, str]] = []
    for field in fields(value):
        key, sign, rest = field.partition("=")
        name = _ALIASES.get(key.lower(), key.lower())
        if name not in _KNOWN:
            raise ValueError(f"has {key}, and there are {', '.join(sorted(_KNOWN))}")
        if not sign and name not in _SWITCHES:
            raise ValueError(f"has {key} without a value")
        if name == "type":
            made["Type"] = one_of(*_TYPES)(rest.lower())
        else:
            given.append((name, rest if sign else "true"))
    for name, rest in given:
        if _BELONGS.get(name, made["Type"]) != made["Type"]:
            raise ValueError(f"has {name}, which a mount of the type {made['Type']} does not know")
        _take(made, name, rest)
    if "Target" not in made:
        raise ValueError("has no target")
    if made["Type"] == "bind" and not str(made.get("Source", "")).startswith("/"):
        raise ValueError("needs a source that is an absolute path on the worker")
    if made["Type"] == "tmpfs" and "Source" in made:
        raise ValueError("has a source, which a mount of the type tmpfs does not know")
    return made


def _take(made: Json, name: str, rest: str) -> None:
    bind, volume, tmpfs = (f"{kind.capitalize()}Options" for kind in _TYPES)
    match name:
        case "source":
            made["Source"] = rest
        case "target":
            made["Target"] = target(rest)
        case "readonly":
            made["ReadOnly"] = boolean(rest)
        case "consistency":
            made["Consistency"] = rest
        case "bind-propagation":
            made.setdefault(bind, {})["Propagation"] = one_of(*_PROPAGATION)(rest)
        case "nonrecursive":
            made.setdefault(bind, {})["NonRecursive"] = boolean(rest)
        case "nocopy":
            made.setdefault(volume, {})["NoCopy"] = boolean(rest)
        case "volume-subpath":
            made.setdefault(volume, {})["Subpath"] = rest
        case "volume-label":
            made.setdefault(volume, {}).setdefault("Labels", {}).update([pair(rest if "=" in rest else f"{rest}=")])
        case "volume-driver":
            made.setdefault(volume, {}).setdefault("DriverConfig", {})["Name"] = rest
        case "volume-opt":
            driver = made.setdefault(volume, {}).setdefault("DriverConfig", {})
            driver.setdefault("Options", {}).update([pair(rest)])
        case "tmpfs-size":
            made.setdefault(tmpfs, {})["SizeBytes"] = size(rest)
        case "tmpfs-mode":
            if not rest or set(rest) - set("01234567") or len(rest) > 5:
                raise ValueError("has a tmpfs-mode that is no octal number, such as 1777")
            made.setdefault(tmpfs, {})["Mode"] = int(rest, 8)
