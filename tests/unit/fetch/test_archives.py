"""What comes out of archives: all that is in a good one, and nothing of a hostile one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch.errors import Corrupt, FetchError, NotInstalled, NotSafe, UnsupportedError
from tests.unit.fetch.hostile import FILE, LINK, OUTSIDE, SMALL, TARS, WHOLE, ZIPS, hard, link, tar, zip_of


@pytest.fixture(params=["pigz", "no pigz"])
def with_and_without_pigz(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "no pigz":
        monkeypatch.setenv("PATH", "/nowhere")
    elif shutil.which("pigz") is None:
        pytest.skip("no pigz here")
    yield


def get(folder: Path, archive: bytes, action: str, limits: fetch.Limits = SMALL, name: str = "archive") -> Path:
    (folder / "source").mkdir()
    (folder / "source" / name).write_bytes(archive)
    fetch.get(f"file://{folder}/source/{name}|{action}", f"{folder}/target/", limits=limits)
    return folder / "target"


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All that is below, with the kind and content of each."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in (*folders, *names):
            whole = os.path.join(path, name)
            about = os.lstat(whole)
            content = Path(whole).read_bytes() if stat.S_ISREG(about.st_mode) else b""
            found[os.path.relpath(whole, folder)] = (about.st_mode, content)
    return found


@pytest.mark.parametrize(
    ("action", "made"),
    [*(("untar", made) for made in TARS.values()), *(("unzip", made) for made in ZIPS.values())],
    ids=[*(f"tar: {name}" for name in TARS), *(f"zip: {name}" for name in ZIPS)],
)
def test_a_hostile_archive_is_refused_and_nothing_is_written(action: str, made: object, tmp_path: Path) -> None:
    assert callable(made)
    archive = made()
    assert isinstance(archive, bytes)
    (tmp_path / OUTSIDE).mkdir()
    (tmp_path / OUTSIDE / "victim").write_bytes(b"precious")
    before = everything(tmp_path)
    with pytest.raises(FetchError) as refused:
        get(tmp_path, archive, action)
    assert refused.value.args[0], "in words"
    after = {name: about for name, about in everything(tmp_path).items() if not name.startswith("source")}
    after.pop("target", None)
    assert after == before
    assert os.stat(tmp_path / OUTSIDE / "victim").st_nlink == 1
    assert not os.path.exists("/tmp/scitq-hostile")


def test_there_are_enough_of_them() -> None:
    assert len(TARS) + len(ZIPS) >= 50


COMPRESSED = {
    "tar": lambda data: data,
    "gz": gzip.compress,
    "gz of several members": lambda data: gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "xz of several streams": lambda data: lzma.compress(data[:700]) + bytes(8) + lzma.compress(data[700:]) + bytes(4),
}


@pytest.mark.parametrize("compress", COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.usefixtures("with_and_without_pigz")
def test_tar_in_all_its_forms(compress: object, tmp_path: Path) -> None:
    assert callable(compress)
    folder = get(tmp_path, compress(WHOLE), "untar")
    assert {name: content for name, (_, content) in everything(folder).items()} == {"a": b"x" * 2000, "b": b"y" * 2000}
    assert os.listdir(tmp_path / "source") == ["archive"]


def test_zstd_is_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd here")
    packed = subprocess.run(["zstd", "-qc"], input=WHOLE, stdout=subprocess.PIPE, check=True).stdout
    assert set(everything(get(tmp_path, packed, "untar"))) == {"a", "b"}
    for number, damaged in enumerate((packed[:-10], packed[:20] + b"damage" + packed[26:])):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(Corrupt):
            get(tmp_path / str(number), damaged, "untar")
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / "without").mkdir()
    with pytest.raises(NotInstalled, match="apt-get install zstd"):
        get(tmp_path / "without", packed, "untar")


def test_modes_times_and_inner_links_are_kept_and_setuid_is_not(tmp_path: Path) -> None:
    folder = get(
        tmp_path,
        tar(
            {"name": "bin/", "type": tarfile.DIRTYPE, "mode": 0o500},
            {"name": "bin/tool-1.2", "mode": 0o6777, "content": b"#!", "mtime": 1_600_000_000},
            {"name": "secret", "mode": 0o600, "content": b"s"},
            {"name": "no rights", "mode": 0, "content": b"n"},
            link("bin/tool", "tool-1.2"),
            link("lib/tool", "../bin/tool"),
            link("dangling", "nothing"),
            hard("same", "bin/tool-1.2"),
            {"name": "./dotted//name", "content": b"d"},
        ),
        "untar",
    )
    modes = {name: stat.S_IMODE(mode) for name, (mode, _) in everything(folder).items() if not stat.S_ISLNK(mode)}
    assert modes == {
        "bin": 0o700, "bin/tool-1.2": 0o755, "secret": 0o600, "no rights": 0o600, "same": 0o755,
        "lib": 0o755, "dotted": 0o755, "dotted/name": 0o644,
    }  # fmt: skip
    assert (folder / "bin/tool-1.2").stat().st_mtime == 1_600_000_000
    assert (folder / "lib/tool").read_bytes() == b"#!"
    assert os.readlink(folder / "dangling") == "nothing"
    assert os.path.samefile(folder / "same", folder / "bin/tool-1.2")


def test_names_of_any_kind_come_out(tmp_path: Path) -> None:
    names = ["a b", "quo'te\"$(id)", "new\nline", "ünï", "x" * 200, os.fsdecode(b"\xff\xfe"), "-rf", "a\\b"]
    folder = get(tmp_path, tar(*({"name": name, "content": b"1"} for name in names)), "untar")
    assert set(os.listdir(folder)) == set(names)


def test_what_is_appended_to_a_tar_replaces_what_it_had(tmp_path: Path) -> None:
    folder = get(tmp_path, tar({"name": "a", "content": b"old"}, {"name": "a", "content": b"new"}), "untar")
    assert (folder / "a").read_bytes() == b"new"


def test_unzip(tmp_path: Path) -> None:
    folder = get(
        tmp_path,
        zip_of(
            ("sub/", b"", stat.S_IFDIR | 0o755), ("sub/tool", b"#!", stat.S_IFREG | 0o4755), ("l", b"sub/tool", LINK)
        ),
        "unzip",
    )
    assert stat.S_IMODE((folder / "sub/tool").stat().st_mode) == 0o755
    assert (folder / "l").read_bytes() == b"#!"
    (tmp_path / "again").mkdir()
    of_windows = get(tmp_path / "again", zip_of(("sub\\file.txt", b"1", 0), system=0), "unzip")
    assert (of_windows / "sub/file.txt").read_bytes() == b"1"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_of_all_methods(method: int, tmp_path: Path) -> None:
    packed = zip_of(("a", b"x" * 5000, FILE), method=method)
    assert (get(tmp_path, packed, "unzip") / "a").read_bytes() == b"x" * 5000
    damaged = bytearray(packed)
    damaged[40:60] = bytes(20)
    (tmp_path / "again").mkdir()
    with pytest.raises(Corrupt):
        get(tmp_path / "again", bytes(damaged), "unzip")


@pytest.mark.usefixtures("with_and_without_pigz")
class TestGunzip:
    def test_members_of_bgzip_are_one_file(self, tmp_path: Path) -> None:
        packed = b"".join(gzip.compress(b"%d\n" % number) for number in range(100))
        folder = get(tmp_path, packed, "gunzip", name="calls.vcf.gz")
        assert (folder / "calls.vcf").read_bytes() == b"".join(b"%d\n" % number for number in range(100))
        assert os.listdir(folder) == ["calls.vcf"]

    def test_it_may_be_given_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(b"ACGT"))
        fetch.get(f"file://{tmp_path}/genome.fa.gz|gunzip", tmp_path / "named.fa")
        fetch.get(f"file://{tmp_path}/genome.fa.gz|gunzip", tmp_path / "in.gz")
        assert (tmp_path / "named.fa").read_bytes() == b"ACGT"

    def test_damage_and_bombs_are_refused(self, tmp_path: Path) -> None:
        packed = gzip.compress(os.urandom(5000))
        for number, (wrong, error) in enumerate(
            {
                packed[:-4]: Corrupt,
                packed[:200] + b"damage" + packed[206:]: Corrupt,
                gzip.compress(bytes(50_000_000)): NotSafe,
                b"no gzip": UnsupportedError,
            }.items()
        ):
            (tmp_path / str(number)).mkdir()
            with pytest.raises(error):
                get(tmp_path / str(number), wrong, "gunzip", name="a.gz")
            assert not (tmp_path / str(number) / "target").exists()


def test_actions_follow_one_another(tmp_path: Path) -> None:
    packed = tar({"name": "a.fa.gz", "content": gzip.compress(b"A")}, {"name": "b.txt", "content": b"b"})
    folder = get(tmp_path, gzip.compress(packed), "untar|gunzip|mv:db/v1")
    assert {name for name, (mode, _) in everything(folder).items() if stat.S_ISREG(mode)} == {
        "db/v1/a.fa", "db/v1/b.txt"
    }  # fmt: skip


def test_bombs_in_archives_do_not_multiply(tmp_path: Path) -> None:
    inner = gzip.compress(tar({"name": "zeros", "content": bytes(900_000)}))
    outer = tar(*({"name": f"{number}.tar.gz", "content": inner} for number in range(60)))
    with pytest.raises(NotSafe, match="too much for its size"):
        get(tmp_path, gzip.compress(outer), "untar|untar", fetch.Limits(ratio=10, free_bytes=1 << 20, entries=1000))


def test_an_action_on_a_folder_takes_what_is_named_so(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/a.tgz").write_bytes(gzip.compress(tar({"name": "x", "content": b"1"})))
    (source / "b.tar").write_bytes(tar({"name": "y", "content": b"2"}))
    (source / "readme").write_bytes(b"3")
    fetch.get(f"file://{source}/|untar|mv:all", tmp_path / "target")
    files = {name for name, (mode, _) in everything(tmp_path / "target").items() if stat.S_ISREG(mode)}
    assert files == {"all/sub/x", "all/y", "all/readme"}
    with pytest.raises(UnsupportedError, match="nothing to unzip"):
        fetch.get(f"file://{source}/|unzip", tmp_path / "other")


def test_what_is_extracted_joins_what_is_there_and_goes_through_no_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "sub").mkdir(parents=True)
    (target / "sub/old").write_bytes(b"old")
    get(tmp_path, tar({"name": "sub/new", "content": b"new"}), "untar")
    assert sorted(os.listdir(target / "sub")) == ["new", "old"]
    os.symlink(tmp_path / "source", target / "led")
    fetch.get(f"file://{tmp_path}/source/archive|mv:led/x", f"{target}/deeper/")
    with pytest.raises(UnsupportedError, match="is a link"):
        fetch.get(f"file://{tmp_path}/source/archive|mv:led", target)
    assert os.listdir(tmp_path / "source") == ["archive"]


def test_an_extraction_can_be_called_off(tmp_path: Path) -> None:
    calling_off = fetch.Cancellation()
    (tmp_path / "a.tar").write_bytes(WHOLE)
    seen = io.StringIO()

    def tell(progress: fetch.Progress) -> None:
        seen.write(progress.file)
        calling_off.cancel()

    with pytest.raises(fetch.Cancelled):
        fetch.get(f"file://{tmp_path}/a.tar|untar", f"{tmp_path}/target/", progress=tell, cancellation=calling_off)
    assert seen.getvalue()
    assert not (tmp_path / "target").exists()
