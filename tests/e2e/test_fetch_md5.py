"""The MD5 of what is sent is kept by the store, also of what goes in parts, and verified on the way back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import rclone_daemon
from scitq.fetch.errors import Corrupt
from tests.conftest import miss
from tests.services.azure import AzureMissing, PrivateAzure
from tests.services.s3 import S3Missing, S3rver

QUICK = fetch.Patience(tries=2, first_s=0.01, longest_s=0.05)
BIG = random.Random(1).randbytes(20_000_000)
MD5 = hashlib.md5(BIG)
WRONG = base64.b64encode(hashlib.md5(b"another").digest()).decode()
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Those that every emulator of Azure has."""


@pytest.fixture(scope="module")
def s3rver() -> Iterator[S3rver]:
    try:
        server = S3rver()
    except S3Missing as missing:
        miss(str(missing))
    with server:
        # Larger files go there in parts, of which S3 knows no MD5 of the whole.
        server.config.write_text(server.config.read_text().replace("region", "upload_cutoff = 5Mi\nregion"))
        server.client().create_bucket(Bucket="bucket")
        yield server
        rclone_daemon.stop_all()


@pytest.fixture(scope="module")
def azurite() -> Iterator[PrivateAzure]:
    try:
        server = PrivateAzure()
    except AzureMissing as missing:
        miss(str(missing))
    with server:
        yield server
        rclone_daemon.stop_all()


@pytest.fixture
def s3(s3rver: S3rver, monkeypatch: pytest.MonkeyPatch) -> S3rver:
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(s3rver.config))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return s3rver


@pytest.fixture
def azure(azurite: PrivateAzure, monkeypatch: pytest.MonkeyPatch) -> PrivateAzure:
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(azurite.config))
    return azurite


@pytest.fixture
def big(tmp_path: Path) -> Path:
    (tmp_path / "big").write_bytes(BIG)
    return tmp_path / "big"


def test_of_what_went_to_s3_in_parts(s3: S3rver, big: Path, tmp_path: Path) -> None:
    fetch.put(big, "s3://bucket/", patience=QUICK)
    head = s3.client().head_object(Bucket="bucket", Key="big")
    kept = head["Metadata"].get("md5chksum")  # only of what went in parts
    assert kept == base64.b64encode(MD5.digest()).decode()
    assert fetch.info("s3://bucket/big", md5=True).md5 == MD5.hexdigest()
    (listed,) = fetch.list_content("s3://bucket/", md5=True)
    assert listed.md5 == MD5.hexdigest()
    fetch.get("s3://bucket/big", tmp_path / "back", patience=QUICK)
    assert (tmp_path / "back").read_bytes() == BIG


def test_another_one_on_s3_is_noticed(s3: S3rver, big: Path, tmp_path: Path) -> None:
    client = s3.client()
    made = client.create_multipart_upload(Bucket="bucket", Key="big", Metadata={"md5chksum": WRONG})
    about = {"Bucket": "bucket", "Key": "big", "UploadId": made["UploadId"]}
    sent = client.upload_part(PartNumber=1, Body=BIG, **about)
    client.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}, **about)
    with pytest.raises(Corrupt, match="big"):
        fetch.get("s3://bucket/big", tmp_path / "back", patience=QUICK)
    assert not (tmp_path / "back").exists()


def test_of_what_went_to_azure_in_blocks(azure: PrivateAzure, big: Path, tmp_path: Path) -> None:
    fetch.put(big, "azure://bucket/folder/", patience=QUICK)
    assert fetch.info("azure://bucket/folder/big", md5=True).md5 == MD5.hexdigest()


def test_the_property_that_others_write_on_azure_is_read_and_verified(
    azure: PrivateAzure, big: Path, tmp_path: Path
) -> None:
    """`Content-MD5` of the blob, as scitq 1 and Azure's own tools set it."""
    fetch.put(big, "azure://bucket/", patience=QUICK)
    set_md5(azure, "bucket/big", WRONG)
    assert fetch.info("azure://bucket/big", md5=True).md5 == base64.b64decode(WRONG).hex()
    with pytest.raises(Corrupt, match="big"):
        fetch.get("azure://bucket/big", tmp_path / "back", patience=QUICK)
    assert not (tmp_path / "back").exists()


def set_md5(azure: PrivateAzure, blob: str, md5: str) -> None:
    """By Azure's own protocol."""
    headers = {"x-ms-blob-content-md5": md5, "x-ms-date": formatdate(usegmt=True), "x-ms-version": "2020-04-08"}
    written = "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed = f"PUT{chr(10) * 12}{written}/{ACCOUNT}/{ACCOUNT}/{blob}\ncomp:properties"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), "sha256")).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0", "Content-Type": ""}
    url = f"http://127.0.0.1:{azure.port}/{ACCOUNT}/{blob}?comp=properties"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)) as answer:
        assert answer.status == 200
