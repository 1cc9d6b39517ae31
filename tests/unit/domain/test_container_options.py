"""The words of `docker run` become a create request, and what cannot be meant is refused in a sentence."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.domain.container_options import RESERVED, ContainerOptions, parse
from scitq.domain.container_table import ALIASES, LETTERS, OPTIONS
from scitq.errors import Rejected

G = 1024**3


def host(**fields: Any) -> dict[str, Any]:
    return {"HostConfig": fields}


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("--rm -it -d --sig-proxy=false -a stdout --quiet", {}),
    ("-e A=1 --env=B=two\\ words -eC= -e 'D=it'\"'\"'s' -e=E=5", {
        "Env": ["A=1", "B=two words", "C=", "D=it's", "E=5"]}),
    ("-e A=1 -e B=2 -e A=3", {"Env": ["B=2", "A=3"]}),
    ("-v /a:/b -v ref:/ref:ro,z", host(Binds=["/a:/b", "ref:/ref:ro,z"])),
    ("-v /scratch", {"Volumes": {"/scratch": {}}}),
    ("--shm-size=8g --memory 1.5g -m 512m", host(ShmSize=8 * G, Memory=G // 2)),
    ("--memory-swap -1 --memory-swappiness 0", host(MemorySwap=-1, MemorySwappiness=0)),
    ("--cpus 1.5 --cpuset-cpus 0-1 -c 512", host(NanoCpus=1_500_000_000, CpusetCpus="0-1", CpuShares=512)),
    ("--user 1000:1000 -w /work -h box", {"User": "1000:1000", "WorkingDir": "/work", "Hostname": "box"}),
    ("--entrypoint ''", {"Entrypoint": [""]}),
    ("--entrypoint '/bin/my tool'", {"Entrypoint": ["/bin/my tool"]}),
    ("--init --read-only=true --privileged=false", host(Init=True, ReadonlyRootfs=True, Privileged=False)),
    ("--ulimit nofile=1024:2048 --ulimit core=-1", host(Ulimits=[
        {"Name": "nofile", "Soft": 1024, "Hard": 2048}, {"Name": "core", "Soft": -1, "Hard": -1}])),
    ("--device /dev/fuse --device=/dev/sda:/dev/xvda:r", host(Devices=[
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
        {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/xvda", "CgroupPermissions": "r"}])),
    ("--tmpfs /run:rw,size=64m --tmpfs /var/tmp", host(Tmpfs={"/run": "rw,size=64m", "/var/tmp": ""})),
    ("--cap-add SYS_PTRACE --cap-drop ALL", host(CapAdd=["CAP_SYS_PTRACE"], CapDrop=["ALL"])),
    ("--net host --ipc=host --pid host --uts host", host(
        NetworkMode="host", IpcMode="host", PidMode="host", UTSMode="host")),
    ("--network mine --network-alias db --ip 10.1.2.3", {
        **host(NetworkMode="mine"),
        "NetworkingConfig": {"EndpointsConfig": {
            "mine": {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.1.2.3"}}}},
    }),
    ("--add-host db:10.0.0.1 --add-host x=::1 --dns 9.9.9.9", host(
        ExtraHosts=["db:10.0.0.1", "x:::1"], Dns=["9.9.9.9"])),
    ("--security-opt seccomp=unconfined --security-opt=no-new-privileges", host(
        SecurityOpt=["seccomp=unconfined", "no-new-privileges"])),
    ("--security-opt systempaths=unconfined", host(MaskedPaths=[], ReadonlyPaths=[])),
    ("-l a=b --label c --stop-signal INT --stop-timeout 3", {
        "Labels": {"a": "b", "c": ""}, "StopSignal": "INT", "StopTimeout": 3}),
    ("--mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave", host(Mounts=[
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True, "BindOptions": {"Propagation": "rslave"}}])),
    ("--mount type=tmpfs,target=/t,tmpfs-size=1g,tmpfs-mode=1777", host(Mounts=[
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": G, "Mode": 0o1777}}])),
    ("--mount source=ref,target=/ref,volume-opt=a=b", host(Mounts=[
        {"Type": "volume", "Source": "ref", "Target": "/ref",
         "VolumeOptions": {"DriverConfig": {"Options": {"a": "b"}}}}])),
    ("-p 8080:80 -p 127.0.0.1::53/udp -p [::1]:81:82", {
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "82/tcp": {}},
        **host(PortBindings={
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
            "82/tcp": [{"HostIp": "::1", "HostPort": "81"}]})}),
    ("--health-cmd 'curl x' --health-interval 1m30s", {
        "Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 90 * 10**9}}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "body"), TAKEN)
def test_what_docker_run_takes_becomes_a_create_request(words: str, body: dict[str, Any]) -> None:
    assert parse(words).body == body


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("all", {"Count": -1}),
        ("2", {"Count": 2}),
        ("device=0", {"DeviceIDs": ["0"]}),
        ("'\"device=0,1\"'", {"DeviceIDs": ["0", "1"]}),
        ("'device=GPU-3a,\"capabilities=compute,utility\"'", {
            "DeviceIDs": ["GPU-3a"], "Capabilities": [["compute", "utility", "gpu"]]}),
        ("driver=nvidia", {"Driver": "nvidia", "Count": 1}),
    ],
)  # fmt: skip
def test_graphics_cards_are_asked_for_as_with_docker(words: str, fields: dict[str, Any]) -> None:
    plain = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    assert parse(f"--gpus {words}").body == host(DeviceRequests=[plain | fields])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--shmsize 8g", "--shmsize is not an option of docker run; did you mean --shm-size?"),
        ("--gpu all", "did you mean --gpus?"),
        ("--wholly-unknown", "is not an option of docker run"),
        ("-z", "-z is not an option"),
        ("-itz", "-z is not an option"),
        ("ubuntu:22.04", "the image is the task's container"),
        ("--rm -- ls", "leave it out"),
        ("-", "is not an option"),
        ("-v", "-v needs a value, and nothing follows"),
        ("--memory lots", "--memory lots is not a size, such as 512m or 8g"),
        ("--memory 99999999999999999p", "is not a size"),
        ("--cpus two", "such as 2 or 1.5"),
        ("-e TOKEN", "would take the value from the worker's own environment"),
        ("--env-file x", "write the values themselves, each as -e NAME=value"),
        ("--name mine", "the worker names its containers itself"),
        ("--restart always", "--retry of the task"),
        ("--log-driver none", "the worker reads the log itself"),
        ("-v ./here:/there", "needs an absolute path on the worker, or the name of a volume"),
        ("-v ~/here:/there", "needs an absolute path on the worker"),
        ("-v /a:b", "needs an absolute path in the container"),
        ("-v /a:/", "which is not / itself"),
        ("-v /a:/b:rx", "has a mode that is not of"),
        ("-v /a:/input", "/input is the task's own folder"),
        ("--tmpfs /output/", "/output is the task's own folder"),
        ("--mount type=bind,source=/a,target=/x/../resource", "/resource is the task's own folder"),
        ("--mount type=bind,source=a,target=/b", "absolute path on the worker"),
        ("--mount type=bind,source=/a,target=/b,tmpfs-size=1", "a mount of the type bind does not know"),
        ("--mount target=/b,colour=red", "has colour, and there are"),
        ("--mount type=bind,source=/a", "has no target"),
        ("--gpus device=0,1", "'\"device=0,1\"', with both quotes"),
        ("--gpus none", "is not a number"),
        ("--ulimit nofile=5:1", "a soft limit above the hard one"),
        ("--ulimit files=5", "is not of the form name=soft:hard"),
        ("--security-opt seccomp=/etc/passwd", "names a file"),
        ("--network a --network b", "a task has one"),
        ("--network-alias x", "of a --network of one's own, not of default"),
        ("--privileged=maybe", "--privileged is neither true nor false"),
        ("--pull sometimes", "is not one of always, missing, never"),
        ("--cpu-percent 5", "is for Windows only"),
        ("-p 8000-8010:80", "a range is several options"),
        ("--device sda", "/dev/there:/dev/here:rwm"),
        ("-e 'A=1", "cannot be split into words: no closing quotation"),
        ("-e A=\0", "NUL"),
    ],
)
def test_a_refusal_says_what_to_do(words: str, why: str) -> None:
    with pytest.raises(Rejected) as refused:
        parse(words)
    assert why in str(refused.value)
    assert str(refused.value).startswith("container_options")
    assert "\n" not in str(refused.value)


def test_what_is_no_part_of_the_body_is_told_beside_it() -> None:
    options = parse("--pull always --platform linux/arm64 -v /x:/tmp/ --tmpfs /y --mount type=tmpfs,dst=/z")
    assert (options.pull, options.platform) == ("always", "linux/arm64")
    assert options.targets == {"/tmp", "/y", "/z"}
    assert parse(None) == ContainerOptions()


def test_every_other_name_leads_to_an_option() -> None:
    assert {*ALIASES.values(), *LETTERS.values()} <= OPTIONS.keys()


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from([f"--{name}" for name in OPTIONS] + [f"-{letter}" for letter in LETTERS]),
    st.sampled_from(["/a:/b", "A=b", "1g", "8", "host", "nofile=1:2", "/dev/x", "type=bind,src=/a,dst=/b", "[::1]:"]),
)  # fmt: skip


@given(st.lists(WORDS, max_size=6), st.sampled_from([" ", "="]))
def test_whatever_is_written_is_taken_or_refused(words: list[str], between: str) -> None:
    try:
        options = parse(between.join(map(shlex.quote, words)))
    except Rejected:
        return
    assert not options.targets & set(RESERVED)


@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused_in_words(text: str) -> None:
    try:
        parse(text)
    except Rejected as refusal:
        assert str(refusal).startswith("container_options")


@given(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8")))
def test_a_value_arrives_as_it_was_meant(value: str) -> None:
    assert parse(f"-e A={shlex.quote(value)}").body["Env"] == [f"A={value}"]
