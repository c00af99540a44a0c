"""What every store must do. The same claims over a folder, and over S3 as a server speaks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from worker.archive.filesystem import FileStore
from worker.archive.objectstore import S3Credentials, S3Store
from worker.archive.store import MissingObjectError, Store
from worker.errors import UnavailableError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = S3Credentials(access_key_id="test", secret_access_key="test-secret")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_client(endpoint: str):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS.access_key_id,
        aws_secret_access_key=KEYS.secret_access_key,
    )


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    name = f"bucket-{os.urandom(6).hex()}"
    s3_client(s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["folder", "s3", "s3 below a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FileStore(tmp_path / "made" / "when needed")
    prefix = "news/archive" if "prefix" in request.param else ""
    return S3Store(
        request.getfixturevalue("bucket"),
        prefix,
        endpoint_url=request.getfixturevalue("s3_endpoint"),
        credentials=KEYS,
    )


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one byte", "a megabyte"])
def test_what_is_put_comes_back(store: Store, data: bytes) -> None:
    store.put("warc/2025/01/17/a-1.warc.gz", data, content_type="application/warc")
    assert store.get("warc/2025/01/17/a-1.warc.gz") == data
    assert store.exists("warc/2025/01/17/a-1.warc.gz")


def test_putting_the_same_twice_is_fine(store: Store) -> None:
    for _ in range(2):
        store.put("text/ab/x.txt", b"same")
    assert store.get("text/ab/x.txt") == b"same"
    assert list(store.keys("")) == ["text/ab/x.txt"]


def test_a_later_put_replaces_an_earlier_one(store: Store) -> None:
    store.put("documents/a.md", b"a long first version")
    store.put("documents/a.md", b"short")
    assert store.get("documents/a.md") == b"short"


def test_a_missing_object_is_named(store: Store) -> None:
    store.put("text/there.txt", b"x")
    for missing in ("text/not-there.txt", "nowhere/at/all.txt", "text", "text/there.txt/below"):
        assert not store.exists(missing)
        with pytest.raises(MissingObjectError) as caught:
            store.get(missing)
        assert caught.value.key == missing


def test_deleting_needs_nothing_to_be_there(store: Store) -> None:
    store.put("spool/a.warc.gz", b"x")
    for _ in range(2):
        store.delete("spool/a.warc.gz")
    store.delete("never/was")
    assert not store.exists("spool/a.warc.gz")
    assert list(store.keys("spool/")) == []


def test_keys_come_in_order_and_by_any_prefix(store: Store) -> None:
    # "-" and "." sort before "/", letters behind it: a walk by folders would come out differently.
    keys = ["a-b/x", "a.b", "a/b/c", "a/b.c", "ab", "b/1", "b/10", "b/2"]
    for key in reversed(keys):
        store.put(key, b"")
    assert list(store.keys("")) == sorted(keys)
    assert list(store.keys("a/")) == ["a/b.c", "a/b/c"]
    assert list(store.keys("a/b")) == ["a/b.c", "a/b/c"]
    assert list(store.keys("b/1")) == ["b/1", "b/10"]
    assert list(store.keys("c")) == []


def test_a_hostile_key_is_refused_everywhere(store: Store) -> None:
    key = "a/../../x"
    for operation in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: store.delete(key)):
        with pytest.raises(UsageError):
            operation()
    with pytest.raises(UsageError):
        store.exists(key)


def test_writers_at_once_leave_one_whole_object(store: Store) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(6)]
    start = threading.Barrier(len(bodies))
    troubles: list[Exception] = []

    def write(body: bytes) -> None:
        start.wait()
        try:
            store.put("pictures/one.jpg", body)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            troubles.append(error)

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    assert store.get("pictures/one.jpg") in bodies
    assert list(store.keys("")) == ["pictures/one.jpg"]


def test_a_check_of_a_good_store_passes_and_leaves_nothing(store: Store) -> None:
    store.check()
    assert list(store.keys("")) == []


# ---------------------------------------------------------------- a folder


def test_a_writer_killed_half_way_leaves_nothing_visible(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("warc/a.warc.gz", b"old")
    script = (
        "import os, sys; from pathlib import Path; from worker.archive.filesystem import FileStore\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "FileStore(Path(sys.argv[1])).put('warc/a.warc.gz', b'new' * 100000)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=REPOSITORY)
    assert killed.returncode == 9
    assert len(list((tmp_path / "warc").iterdir())) == 2  # what was there, and the hidden half
    assert list(store.keys("")) == ["warc/a.warc.gz"]
    assert store.get("warc/a.warc.gz") == b"old"


def test_a_full_disk_makes_the_store_unavailable_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = FileStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left on device"):
        store.put("a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_makes_the_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(tmp_path / "file" / "archive")
    with pytest.raises(UnavailableError):
        store.check()


def test_an_object_is_not_written_over_a_folder(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("a/b", b"x")
    with pytest.raises(UnavailableError):
        store.put("a", b"y")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_other_peoples_files_are_not_listed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("a/b", b"x")
    (tmp_path / "README.txt").write_bytes(b"")
    (tmp_path / ".a.0123").write_bytes(b"")
    (tmp_path / "lost+found").mkdir()
    assert list(store.keys("")) == ["a/b"]


# ---------------------------------------------------------------- S3


def test_objects_lie_under_the_prefix_with_their_type(s3_endpoint: str, bucket: str) -> None:
    S3Store(bucket, "news", endpoint_url=s3_endpoint, credentials=KEYS).put("a.md", b"x", content_type="text/markdown")
    found = s3_client(s3_endpoint).get_object(Bucket=bucket, Key="news/a.md")
    assert found["ContentType"] == "text/markdown"
    found["Body"].close()


def test_other_peoples_objects_are_not_listed(s3_endpoint: str, bucket: str) -> None:
    for key in ("news/README.txt", "other/a.md", "newspaper"):
        s3_client(s3_endpoint).put_object(Bucket=bucket, Key=key, Body=b"")
    assert list(S3Store(bucket, "news", endpoint_url=s3_endpoint, credentials=KEYS).keys("")) == []


def test_listing_goes_on_past_one_page(s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # a page of the server's; really 1,000
    client = s3_client(s3_endpoint)
    for number in range(25):
        client.put_object(Bucket=bucket, Key=f"k/{number:04d}", Body=b"")
    keys = list(S3Store(bucket, endpoint_url=s3_endpoint, credentials=KEYS).keys("k/"))
    assert keys == [f"k/{number:04d}" for number in range(25)]
    assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 10


def test_a_bucket_that_is_not_there_makes_the_store_unavailable(s3_endpoint: str) -> None:
    store = S3Store("no-such-bucket", endpoint_url=s3_endpoint, credentials=KEYS)
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        store.put("a", b"x")
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        store.get("a")
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        list(store.keys(""))


def test_a_server_that_is_not_there_makes_the_store_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: refuses
        store = S3Store(
            "bucket", endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}", credentials=KEYS, connect_timeout_s=1
        )
        with pytest.raises(UnavailableError):
            store.get("a")


def test_a_server_that_is_silent_is_given_up_in_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = S3Store(
            "bucket",
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            credentials=KEYS,
            connect_timeout_s=0.2,
            read_timeout_s=0.2,
        )
        with pytest.raises(UnavailableError):
            store.get("a")


def test_a_server_in_trouble_makes_the_store_unavailable() -> None:
    def refuse(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=refuse, args=(server,), daemon=True)
        thread.start()
        store = S3Store("b", endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}", credentials=KEYS)
        with pytest.raises(UnavailableError, match="503"):
            store.exists("a")
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("endpoint", ["not a url", "http://"])
def test_an_endpoint_that_cannot_be_one_is_said_so(endpoint: str) -> None:
    with pytest.raises(UnavailableError):
        S3Store("bucket", endpoint_url=endpoint, credentials=KEYS).get("a")


def test_the_secret_is_not_in_what_is_printed() -> None:
    assert "test-secret" not in repr(KEYS)
