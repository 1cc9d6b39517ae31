"""Every option of `docker run`, and what becomes of it: a place in the engine's create request, nothing, or a refusal.

"Nothing" is for what the worker does anyway (`--rm`, `-d`) or what a task has no use for (a terminal). A refusal says
what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from scitq.domain import container_values as values
from scitq.domain.container_mount import mount
from scitq.domain.container_values import Json, integer, one_of, size, text


@dataclass(slots=True)
class Draft:
    """A create request in the making."""

    body: Json = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)  # where something is mounted
    endpoint: Json = field(default_factory=dict)  # what is said about the one network
    pull: str = "missing"
    platform: str | None = None

    def place(self, path: str) -> tuple[Json, str]:
        """The object that holds it, and its name there."""
        *outer, name = path.split(".")
        inside = self.body
        for each in outer:
            inside = inside.setdefault(each, {})
        return inside, name


Take = Callable[[Draft, str], None]


@dataclass(frozen=True, slots=True)
class Option:
    """`switch`: it stands alone, or has `=true` or `=false` behind it. `idle`: without effect. `refused`: why."""

    take: Take
    switch: bool = False
    idle: bool = False
    refused: str = ""


def put(path: str, parse: Callable[[str], Any] = text) -> Option:
    """The last one counts."""

    def take(draft: Draft, value: str) -> None:
        inside, name = draft.place(path)
        inside[name] = parse(value)

    return Option(take, switch=parse is values.boolean)


def add(path: str, parse: Callable[[str], Any] = text) -> Option:
    """All count."""

    def take(draft: Draft, value: str) -> None:
        inside, name = draft.place(path)
        inside.setdefault(name, []).append(parse(value))

    return Option(take)


def join(path: str, parse: Callable[[str], tuple[str, Any]] = values.pair) -> Option:
    """The last one of each name counts."""

    def take(draft: Draft, value: str) -> None:
        inside, name = draft.place(path)
        inside.setdefault(name, {}).update([parse(value)])

    return Option(take)


def nothing(*, switch: bool = False) -> Option:
    return Option(lambda draft, value: None, switch, idle=True)


def refuse(why: str, *, switch: bool = False) -> Option:
    def take(draft: Draft, value: str) -> None:
        raise ValueError(why)

    return Option(take, switch, refused=why)


# Options that are more than a place ---------------------------------------------------------------------------------


def _volume(draft: Draft, value: str) -> None:
    bind, target = values.volume(value)
    draft.targets.append(target)
    (add("HostConfig.Binds") if bind else join("Volumes", lambda path: (path, {}))).take(draft, bind or target)


def _mount(draft: Draft, value: str) -> None:
    made = mount(value)
    draft.targets.append(made["Target"])
    add("HostConfig.Mounts", lambda _: made).take(draft, value)


def _tmpfs(draft: Draft, value: str) -> None:
    draft.targets.append(values.tmpfs(value)[0])
    join("HostConfig.Tmpfs", values.tmpfs).take(draft, value)


def _environment(draft: Draft, value: str) -> None:
    variable = values.variable(value)
    before = draft.body.setdefault("Env", [])
    name = variable.partition("=")[0] + "="
    before[:] = [*(one for one in before if not one.startswith(name)), variable]


def _device(draft: Draft, value: str) -> None:
    kind, sign, name = value.partition("=")
    if sign and "/" in kind and not kind.startswith("/"):  # vendor.com/class=name
        add("HostConfig.DeviceRequests", lambda _: {"Driver": "cdi", "DeviceIDs": [f"{kind}={name}"]}).take(draft, "")
    else:
        add("HostConfig.Devices", values.device).take(draft, value)


def _security(draft: Draft, value: str) -> None:
    name, _, rest = value.replace(":", "=", 1).partition("=") if "=" not in value else value.partition("=")
    if name == "seccomp" and rest not in ("unconfined", "builtin"):
        raise ValueError("names a file: only seccomp=unconfined and seccomp=builtin can be said here")
    if value == "systempaths=unconfined":
        draft.body.setdefault("HostConfig", {}).update(MaskedPaths=[], ReadonlyPaths=[])
    else:
        add("HostConfig.SecurityOpt").take(draft, f"{name}={rest}" if rest else name)


def _network(draft: Draft, value: str) -> None:
    inside, name = draft.place("HostConfig.NetworkMode")
    if name in inside:
        raise ValueError("is the second network, and a task has one")
    if "=" not in value:
        inside[name] = text(value)
        return
    for one in values.fields(value):
        key, rest = values.pair(one)
        match key:
            case "name":
                inside[name] = text(rest)
            case "alias":
                draft.endpoint.setdefault("Aliases", []).append(rest)
            case "ip" | "ip6":
                _own_address("IPv4Address" if key == "ip" else "IPv6Address")(draft, rest)
            case "mac-address":
                _mac(draft, rest)
            case _:
                raise ValueError(f"has {key}, and there are name, alias, ip, ip6, mac-address")
    if name not in inside:
        raise ValueError("has no name=")


def _own_address(name: str) -> Take:
    def take(draft: Draft, value: str) -> None:
        draft.endpoint.setdefault("IPAMConfig", {})[name] = values.address(value)

    return take


def _mac(draft: Draft, value: str) -> None:
    draft.body["MacAddress"] = draft.endpoint["MacAddress"] = text(value)  # engines differ in where they look


def _alias(draft: Draft, value: str) -> None:
    draft.endpoint.setdefault("Aliases", []).append(text(value))


def _publish(draft: Draft, value: str) -> None:
    where, inner = values.port(value)
    draft.body.setdefault("ExposedPorts", {})[inner] = {}
    bound = draft.place("HostConfig.PortBindings.x")[0]
    bound.setdefault(inner, []).append(where)


def _health(draft: Draft, value: str) -> None:
    draft.body.setdefault("Healthcheck", {})["Test"] = ["CMD-SHELL", text(value)]


def _no_health(draft: Draft, value: str) -> None:
    if values.boolean(value):
        draft.body["Healthcheck"] = {"Test": ["NONE"]}


def _pull(draft: Draft, value: str) -> None:
    draft.pull = one_of("always", "missing", "never")(value)


def _platform(draft: Draft, value: str) -> None:
    draft.platform = text(value)


_WINDOWS: Final = refuse("is for Windows only")
_OWN_LOG: Final = refuse("is not taken: the worker reads the log itself to keep what the task prints")
_FILE: Final = refuse("would read a file of the worker: write the values themselves, each as -e NAME=value")

OPTIONS: Final[dict[str, Option]] = {
    "add-host": add("HostConfig.ExtraHosts", values.host),
    "annotation": join("HostConfig.Annotations"),
    "attach": nothing(),
    "blkio-weight": put("HostConfig.BlkioWeight", integer(0, 1000)),
    "blkio-weight-device": add("HostConfig.BlkioWeightDevice", values.per_device("Weight", integer(0, 1000))),
    "cap-add": add("HostConfig.CapAdd", values.capability),
    "cap-drop": add("HostConfig.CapDrop", values.capability),
    "cgroup-parent": put("HostConfig.CgroupParent"),
    "cgroupns": put("HostConfig.CgroupnsMode", one_of("host", "private")),
    "cidfile": refuse("is not taken: the worker knows its containers by their labels"),
    "cpu-count": _WINDOWS,
    "cpu-percent": _WINDOWS,
    "cpu-period": put("HostConfig.CpuPeriod", integer(0)),
    "cpu-quota": put("HostConfig.CpuQuota", integer()),
    "cpu-rt-period": put("HostConfig.CpuRealtimePeriod", integer(0)),
    "cpu-rt-runtime": put("HostConfig.CpuRealtimeRuntime", integer(0)),
    "cpu-shares": put("HostConfig.CpuShares", integer(0)),
    "cpus": put("HostConfig.NanoCpus", values.cpus),
    "cpuset-cpus": put("HostConfig.CpusetCpus"),
    "cpuset-mems": put("HostConfig.CpusetMems"),
    "detach": nothing(switch=True),
    "detach-keys": nothing(),
    "device": Option(_device),
    "device-cgroup-rule": add("HostConfig.DeviceCgroupRules"),
    "device-read-bps": add("HostConfig.BlkioDeviceReadBps", values.per_device("Rate", size)),
    "device-read-iops": add("HostConfig.BlkioDeviceReadIOps", values.per_device("Rate", integer(0))),
    "device-write-bps": add("HostConfig.BlkioDeviceWriteBps", values.per_device("Rate", size)),
    "device-write-iops": add("HostConfig.BlkioDeviceWriteIOps", values.per_device("Rate", integer(0))),
    "disable-content-trust": nothing(switch=True),
    "dns": add("HostConfig.Dns", values.address),
    "dns-option": add("HostConfig.DnsOptions"),
    "dns-search": add("HostConfig.DnsSearch"),
    "domainname": put("Domainname"),
    "entrypoint": put("Entrypoint", lambda program: [program]),
    "env": Option(_environment),
    "env-file": _FILE,
    "expose": join("ExposedPorts", lambda value: (values.inner_port(value), {})),
    "gpus": add("HostConfig.DeviceRequests", values.gpus),
    "group-add": add("HostConfig.GroupAdd"),
    "health-cmd": Option(_health),
    "health-interval": put("Healthcheck.Interval", values.duration),
    "health-retries": put("Healthcheck.Retries", integer(0)),
    "health-start-interval": put("Healthcheck.StartInterval", values.duration),
    "health-start-period": put("Healthcheck.StartPeriod", values.duration),
    "health-timeout": put("Healthcheck.Timeout", values.duration),
    "help": refuse("is of no use in a task", switch=True),
    "hostname": put("Hostname"),
    "init": put("HostConfig.Init", values.boolean),
    "interactive": nothing(switch=True),
    "io-maxbandwidth": _WINDOWS,
    "io-maxiops": _WINDOWS,
    "ip": Option(_own_address("IPv4Address")),
    "ip6": Option(_own_address("IPv6Address")),
    "ipc": put("HostConfig.IpcMode"),
    "isolation": _WINDOWS,
    "kernel-memory": refuse("is not known to Linux any more: --memory limits it too"),
    "label": join("Labels", values.label),
    "label-file": refuse("would read a file of the worker: write each as --label NAME=value"),
    "link": refuse("is not taken: containers that are to see each other share a --network"),
    "link-local-ip": refuse("is not taken: give an address with --ip"),
    "log-driver": _OWN_LOG,
    "log-opt": _OWN_LOG,
    "mac-address": Option(_mac),
    "memory": put("HostConfig.Memory", size),
    "memory-reservation": put("HostConfig.MemoryReservation", size),
    "memory-swap": put("HostConfig.MemorySwap", values.size_or_unlimited),
    "memory-swappiness": put("HostConfig.MemorySwappiness", integer(-1, 100)),
    "mount": Option(_mount),
    "name": refuse("is not taken: the worker names its containers itself; use --hostname for a name inside"),
    "network": Option(_network),
    "network-alias": Option(_alias),
    "no-healthcheck": Option(_no_health, switch=True),
    "oom-kill-disable": put("HostConfig.OomKillDisable", values.boolean),
    "oom-score-adj": put("HostConfig.OomScoreAdj", integer(-1000, 1000)),
    "pid": put("HostConfig.PidMode"),
    "pids-limit": put("HostConfig.PidsLimit", integer(-1)),
    "platform": Option(_platform),
    "privileged": put("HostConfig.Privileged", values.boolean),
    "publish": Option(_publish),
    "publish-all": put("HostConfig.PublishAllPorts", values.boolean),
    "pull": Option(_pull),
    "quiet": nothing(switch=True),
    "read-only": put("HostConfig.ReadonlyRootfs", values.boolean),
    "restart": refuse("is not taken: --retry of the task has it run again, and that is seen"),
    "rm": nothing(switch=True),
    "runtime": put("HostConfig.Runtime"),
    "security-opt": Option(_security),
    "shm-size": put("HostConfig.ShmSize", size),
    "sig-proxy": nothing(switch=True),
    "stop-signal": put("StopSignal"),
    "stop-timeout": put("StopTimeout", integer(-1)),
    "storage-opt": join("HostConfig.StorageOpt"),
    "sysctl": join("HostConfig.Sysctls"),
    "tmpfs": Option(_tmpfs),
    "tty": nothing(switch=True),
    "ulimit": add("HostConfig.Ulimits", values.ulimit),
    "use-api-socket": refuse("would hand the engine itself to the task", switch=True),
    "user": put("User"),
    "userns": put("HostConfig.UsernsMode"),
    "uts": put("HostConfig.UTSMode"),
    "volume": Option(_volume),
    "volume-driver": put("HostConfig.VolumeDriver"),
    "volumes-from": add("HostConfig.VolumesFrom"),
    "workdir": put("WorkingDir"),
}
ALIASES: Final = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}
LETTERS: Final = {
    "a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname", "i": "interactive", "l": "label",
    "m": "memory", "P": "publish-all", "p": "publish", "q": "quiet", "t": "tty", "u": "user", "v": "volume",
    "w": "workdir",
}  # fmt: skip
