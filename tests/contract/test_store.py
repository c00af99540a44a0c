"""What every store must do. The same claims over a folder, and over S3 as a server speaks it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest
import requests

from config.settings import Settings
from tests.s3 import KEYS, s3_client
from worker import wiring
from worker.archive import filesystem, objectstore
from worker.archive.filesystem import FileStore
from worker.archive.objectstore import S3Store
from worker.archive.store import STREAM_BYTES, MissingObjectError, Store
from worker.errors import UnavailableError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


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


HOSTILE = ["", "/a", "a/", "a//b", "a/../../x", "a/.b", "A", "ü", "a b", "a\\b", "a\0b", "a" * 513]


@pytest.mark.parametrize(
    "operation",
    [
        lambda store, key: store.put(key, b"x"),
        lambda store, key: store.put(key, b"x", only_new=True),
        lambda store, key: store.put_stream(key, [b"x"]),
        lambda store, key: store.get(key),
        lambda store, key: store.get_range(key, 0, 1),
        lambda store, key: store.stream(key),
        lambda store, key: store.size(key),
        lambda store, key: store.exists(key),
        lambda store, key: store.delete(key),
        lambda store, key: store.delete_all(["there", key]),
        lambda store, key: store.signed_url(key, valid_s=60),
    ],
    ids=[
        "put",
        "only_new",
        "put_stream",
        "get",
        "get_range",
        "stream",
        "size",
        "exists",
        "delete",
        "delete_all",
        "signed_url",
    ],
)
def test_a_hostile_key_is_refused_everywhere(store: Store, operation: Callable[[Store, str], object]) -> None:
    store.put("there", b"x")
    for key in HOSTILE:
        with pytest.raises(UsageError, match="no key of the archive"):
            operation(store, key)
    assert list(store.keys("")) == ["there"]


def at_once(jobs: list[Callable[[], object]]) -> list[object]:
    """What each gives or raises, all started together."""
    start = threading.Barrier(len(jobs))
    results: list[object] = [None] * len(jobs)

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = jobs[number]()
        except Exception as error:  # noqa: BLE001 - the caller's assertion reports it
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_writers_at_once_leave_one_whole_object(store: Store) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(6)]
    assert at_once([lambda body=body: store.put("pictures/one.jpg", body) for body in bodies]) == [True] * 6
    assert store.get("pictures/one.jpg") in bodies
    assert list(store.keys("")) == ["pictures/one.jpg"]


def test_what_is_there_is_left_alone_when_asked_for(store: Store) -> None:
    assert store.put("text/a.txt", b"first", only_new=True)
    assert not store.put("text/a.txt", b"second", only_new=True)
    assert store.get("text/a.txt") == b"first"
    assert store.put("text/a.txt", b"third")
    assert store.get("text/a.txt") == b"third"
    assert list(store.keys("")) == ["text/a.txt"]


def test_of_writers_at_once_one_is_the_first(store: Store) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(6)]
    for turn in range(5):
        key = f"text/{turn}.txt"
        written = at_once([lambda body=body, key=key: store.put(key, body, only_new=True) for body in bodies])
        assert sorted(written) == [False] * 5 + [True]
        assert store.get(key) == bodies[written.index(True)]


@pytest.mark.parametrize(
    ("start", "length", "wanted"),
    [(0, 10, b"0123456789"), (3, 4, b"3456"), (8, 10, b"89"), (10, 1, b""), (50, 5, b""), (2, 0, b"")],
)
def test_a_range_ends_where_the_object_does(store: Store, start: int, length: int, wanted: bytes) -> None:
    store.put("warc/a.warc.gz", b"0123456789")
    assert store.get_range("warc/a.warc.gz", start, length) == wanted


def test_an_empty_object_is_one(store: Store) -> None:
    for key, write in (
        ("a/put", lambda key: store.put(key, b"")),
        ("a/put_stream", lambda key: store.put_stream(key, [])),
    ):
        write(key)
        assert store.exists(key)
        assert store.size(key) == 0
        assert store.get(key) == b""
        assert store.get_range(key, 0, 5) == b""
        assert b"".join(store.stream(key)) == b""


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"a", b"", b"bc"], id="small"),
        pytest.param([bytes([number]) * MIB for number in range(8)], id="as large as one piece"),
        pytest.param([bytes([number % 251]) * 333_333 for number in range(61)], id="20 MB of odd parts"),
        pytest.param([b"one" * 7_000_000], id="20 MB in one part"),
    ],
)
def test_a_stream_of_parts_comes_back_as_one_object(store: Store, parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert store.put_stream("warc/large.warc.gz", iter(parts), content_type="application/warc") == len(whole)
    assert store.get("warc/large.warc.gz") == whole
    assert store.size("warc/large.warc.gz") == len(whole)
    streamed = list(store.stream("warc/large.warc.gz"))
    assert max(map(len, streamed)) <= STREAM_BYTES
    assert b"".join(streamed) == whole
    assert store.get_range("warc/large.warc.gz", len(whole) - 2, 100) == whole[-2:]
    assert list(store.keys("")) == ["warc/large.warc.gz"]


@pytest.mark.parametrize("before", [0, 3, 20], ids=["at once", "in the first piece", "after two pieces"])
@pytest.mark.parametrize("trouble", [KeyError("theirs"), FileNotFoundError("theirs"), ValueError("theirs")], ids=repr)
def test_a_stream_that_raises_leaves_what_was_there(store: Store, before: int, trouble: Exception) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(before):
            yield b"x" * MIB
        raise trouble

    store.put("warc/a.warc.gz", b"old")
    with pytest.raises(type(trouble)) as raised:
        store.put_stream("warc/a.warc.gz", parts())
    assert raised.value is trouble
    assert store.get("warc/a.warc.gz") == b"old"
    with pytest.raises(type(trouble)):
        store.put_stream("warc/b.warc.gz", parts())
    assert list(store.keys("")) == ["warc/a.warc.gz"]


def test_a_stream_shows_nothing_before_its_end(store: Store) -> None:
    seen = []

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            seen.append(store.exists("warc/a.warc.gz"))
            yield b"x" * MIB

    store.put_stream("warc/a.warc.gz", parts())
    assert seen == [False] * 20
    assert store.exists("warc/a.warc.gz")


def test_objects_of_the_store_can_be_joined_to_another(store: Store) -> None:
    keys = [f"warc/{number}.warc.gz" for number in range(4)]
    for number, key in enumerate(keys):
        store.put(key, bytes([number]) * 6_000_000)
    size = store.put_stream("warc/all.warc.gz", (part for key in keys for part in store.stream(key)))
    assert size == 24_000_000
    assert store.get_range("warc/all.warc.gz", 17_999_999, 2) == b"\2\3"


def test_streams_at_once_leave_one_whole_object(store: Store) -> None:
    bodies = [[bytes([number]) * MIB] * 10 for number in range(3)]
    jobs = [lambda parts=parts: store.put_stream("warc/a.warc.gz", parts) for parts in bodies]
    assert at_once(jobs) == [10 * MIB] * 3
    assert [store.get("warc/a.warc.gz")] in [[b"".join(parts)] for parts in bodies]


def test_a_missing_object_has_no_part_no_size_and_no_url(store: Store) -> None:
    for operation in (
        lambda: store.get_range("text/a.txt", 0, 5),
        lambda: store.get_range("text/a.txt", 0, 0),
        lambda: list(store.stream("text/a.txt")),
        lambda: store.size("text/a.txt"),
    ):
        with pytest.raises(MissingObjectError, match=re.escape("nothing is stored under text/a.txt")):
            operation()


def test_many_are_deleted_at_once(store: Store) -> None:
    keys = [f"spool/{number:04d}" for number in range(1500)]
    at_once([lambda part=part: [store.put(key, b"") for key in keys[part::4]] for part in range(4)])
    store.put("spool/other", b"")
    assert len(list(store.keys("spool/"))) == 1501
    store.delete_all([*keys, "never/was", keys[0]])
    assert list(store.keys("")) == ["spool/other"]
    store.delete_all([])


def test_a_check_of_a_good_store_passes_and_leaves_nothing(store: Store) -> None:
    store.check()
    assert list(store.keys("")) == []


def test_a_check_sees_that_what_is_there_is_written_over(tmp_path: Path) -> None:
    class Careless(FileStore):
        def put(self, key: str, data: bytes, **_: object) -> bool:
            return super().put(key, data)

    with pytest.raises(UnavailableError, match="asked to leave alone"):
        Careless(tmp_path).check()
    assert list(FileStore(tmp_path).keys("")) == []


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


def test_a_disk_that_fills_up_in_a_stream_leaves_no_half_file() -> None:
    """On a real file system of its own, 8 MiB large; in a child, since a mount is the whole process's."""
    script = (
        "import sys; from pathlib import Path\n"
        "from worker.archive.filesystem import FileStore; from worker.errors import UnavailableError\n"
        "store = FileStore(Path('/mnt'))\n"
        "store.put('warc/a.warc.gz', b'old')\n"
        "for write in (lambda: store.put_stream('warc/a.warc.gz', [b'x' * 1048576] * 20),\n"
        "              lambda: store.put('warc/a.warc.gz', b'x' * 20000000)):\n"
        "    try: write()\n"
        "    except UnavailableError as error: print(error)\n"
        "print([path.name for path in Path('/mnt/warc').iterdir()], store.get('warc/a.warc.gz'))\n"
    )
    mount = f'mount -t tmpfs -o size=8m none /mnt && exec {sys.executable} -c "$0"'
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, script]
    try:
        ran = subprocess.run(alone, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this machine has no unshare")
    if "unshare" in ran.stderr or "mount" in ran.stderr:
        pytest.skip("this machine lets nobody mount a file system of his own")
    full = "archive folder: No space left on device (warc/a.warc.gz)"
    assert ran.stdout.splitlines() == [full, full, "['a.warc.gz'] b'old'"], ran.stderr


def test_what_a_killed_writer_left_is_removed_by_a_later_stream(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("warc/a.warc.gz", b"x")
    old, young = (tmp_path / "warc" / f".a.warc.gz.{letter * 32}" for letter in "ab")
    others = [tmp_path / "warc" / name for name in (".nfs000000000001", ".a.warc.gz.swp", f".Note.{'c' * 32}")]
    for path in (old, young, *others):
        path.write_bytes(b"half")
        if path is not young:
            os.utime(path, (1, time.time() - filesystem.ABANDONED_S - 60))
    store.put_stream("warc/b.warc.gz", [b"y"])
    assert not old.exists()
    assert young.exists()
    assert all(path.exists() for path in others)


def test_files_have_no_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("`newsmill archive get text/a.txt -o FILE`")):
        FileStore(tmp_path).signed_url("text/a.txt", valid_s=60)


def test_a_folder_that_cannot_be_made_makes_the_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(tmp_path / "file" / "archive")
    with pytest.raises(UnavailableError):
        store.check()


def test_an_object_is_not_written_over_a_folder(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("a/b", b"x")
    for only_new in (False, True):
        with pytest.raises(UnavailableError):
            store.put("a", b"y", only_new=only_new)
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


def test_a_large_object_goes_up_in_pieces_and_keeps_its_type(s3_endpoint: str, bucket: str) -> None:
    store = S3Store(bucket, endpoint_url=s3_endpoint, credentials=KEYS)
    store.put_stream("small", [b"x"], content_type="text/plain")
    store.put_stream("large", [b"x" * MIB] * 20, content_type="application/warc")
    client = s3_client(s3_endpoint)
    found = {key: client.head_object(Bucket=bucket, Key=key) for key in ("small", "large")}
    assert [found[key]["ContentType"] for key in found] == ["text/plain", "application/warc"]
    assert found["large"]["ETag"].endswith('-3"')  # pieces of 8 MiB
    assert "-" not in found["small"]["ETag"]


def test_an_upload_that_fails_is_given_up_on_the_server_too(s3_endpoint: str, bucket: str) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b"x" * MIB] * 20
        raise KeyError("theirs")

    with pytest.raises(KeyError):
        S3Store(bucket, endpoint_url=s3_endpoint, credentials=KEYS).put_stream("a", parts())
    assert "Uploads" not in s3_client(s3_endpoint).list_multipart_uploads(Bucket=bucket)


def test_an_object_that_is_replaced_is_not_read_half_and_half(s3_endpoint: str, bucket: str) -> None:
    store = S3Store(bucket, endpoint_url=s3_endpoint, credentials=KEYS)
    store.put("a", b"x" * 20 * MIB)
    parts = store.stream("a")
    next(parts)
    store.put("a", b"y" * 20 * MIB)
    with pytest.raises(UnavailableError, match="PreconditionFailed"):
        list(parts)


def test_a_signed_url_gives_the_bytes_to_whoever_has_it(s3_endpoint: str, bucket: str) -> None:
    store = S3Store(bucket, "news", endpoint_url=s3_endpoint, credentials=KEYS)
    store.put("text/a.txt", b"some text", content_type="text/plain")
    url = store.signed_url("text/a.txt", valid_s=60)
    assert "X-Amz-Expires=60" in url
    assert KEYS.secret_access_key not in url
    answer = requests.get(url, timeout=10, headers={"Range": "bytes=5-8"})
    assert answer.content == b"text"
    with pytest.raises(MissingObjectError):
        store.signed_url("text/b.txt", valid_s=60)
    for valid_s in (0, 8 * 86_400):
        with pytest.raises(UsageError, match="7 days"):
            store.signed_url("text/a.txt", valid_s=valid_s)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({}, None),
        ({"NEWSMILL_S3_ENCRYPTION": "AES256"}, {"ServerSideEncryption": "AES256"}),
        (
            {"NEWSMILL_S3_ENCRYPTION": "aws:kms", "NEWSMILL_S3_KMS_KEY": "key-7"},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-7"},
        ),
    ],
    ids=["as the bucket says", "AES256", "aws:kms"],
)
def test_the_server_is_asked_to_encrypt(s3_endpoint: str, bucket: str, said: dict[str, str], seen: object) -> None:
    store = wiring.open_store(Settings.from_env(settings_of(s3_endpoint, bucket) | said))
    store.put("small", b"x")
    store.put_stream("large", [b"x" * MIB] * 9)
    assert store.get("small") == b"x"
    for key in ("small", "large"):
        found = s3_client(s3_endpoint).head_object(Bucket=bucket, Key=key)
        assert {name: found[name] for name in ("ServerSideEncryption", "SSEKMSKeyId") if name in found} == (seen or {})


def settings_of(endpoint: str, bucket: str) -> dict[str, str]:
    return {
        "ARCHIVE_URL": f"s3://{bucket}",
        "NEWSMILL_S3_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": KEYS.access_key_id,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret_access_key,
    }


def test_the_add_on_s_own_names_open_its_bucket(s3_endpoint: str, bucket: str) -> None:
    added = {
        "BUCKETEER_BUCKET_NAME": bucket,
        "BUCKETEER_AWS_ACCESS_KEY_ID": "added",
        "BUCKETEER_AWS_SECRET_ACCESS_KEY": "added-secret",
        "BUCKETEER_AWS_REGION": "eu-west-1",
        "NEWSMILL_S3_ENDPOINT": s3_endpoint,
    }
    store = wiring.open_store(Settings.from_env(added))
    store.check()
    store.put("a", b"x")
    assert "Credential=added%2F" in store.signed_url("a", valid_s=60)
    assert "%2Feu-west-1%2F" in store.signed_url("a", valid_s=60)


def test_a_prefix_may_have_any_name(s3_endpoint: str, bucket: str) -> None:
    env = settings_of(s3_endpoint, bucket) | {"ARCHIVE_URL": f"s3://{bucket}/My%20news%23/ü/"}
    store = wiring.open_store(Settings.from_env(env))
    store.check()
    store.put("a/b", b"x")
    assert list(store.keys("a/")) == ["a/b"]
    assert [found["Key"] for found in s3_client(s3_endpoint).list_objects_v2(Bucket=bucket)["Contents"]] == [
        "My news#/ü/a/b"
    ]


def test_somebody_else_s_session_is_not_mixed_with_our_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another's")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with Server(answers(b"HTTP/1.1 200 OK", b"", b'ETag: "1"')) as server:
        S3Store("bucket", endpoint_url=server.url, credentials=KEYS).put("a", b"x")
    assert "another's" not in server.asked[0]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, "PUT /bucket-7/a HTTP"),
        ({"NEWSMILL_S3_PATH_STYLE": "1"}, "PUT /bucket-7/a HTTP"),
        ({"NEWSMILL_S3_PATH_STYLE": "0"}, "PUT http://bucket-7.store.example:9000/a HTTP"),
        ({"NEWSMILL_S3_ENDPOINT": ""}, "CONNECT bucket-7.s3.eu-west-1.amazonaws.com:443 HTTP"),
        (
            {"NEWSMILL_S3_ENDPOINT": "", "NEWSMILL_S3_PATH_STYLE": "1"},
            "CONNECT s3.eu-west-1.amazonaws.com:443 HTTP",
        ),
        (
            {"NEWSMILL_S3_ENDPOINT": "", "ARCHIVE_URL": "s3://news.example"},
            "CONNECT s3.eu-west-1.amazonaws.com:443 HTTP",
        ),
    ],
    ids=["an endpoint", "in the path", "before the host", "Amazon", "Amazon, in the path", "Amazon, a name with a dot"],
)
def test_the_bucket_stands_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], asked: str
) -> None:
    """As a proxy in between sees it: no name needs to be known for that."""
    with Server(answers(b"HTTP/1.1 403 Forbidden", b"")) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        env = settings_of("http://store.example:9000", "bucket-7") | {"AWS_REGION": "eu-west-1"} | said
        store = wiring.open_store(Settings.from_env(env))
        with pytest.raises(UnavailableError):
            store.put("a", b"x")
    assert proxy.asked[0].replace("PUT http://store.example:9000/bucket-7/", "PUT /bucket-7/").startswith(asked)


# ---------------------------------------------------------------- S3 in trouble


class Server:
    """Answers each connection as it is told to, on a port of its own; ``asked`` is the beginning of every request."""

    def __init__(self, answer: Callable[[socket.socket, str], None]) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked: list[str] = []
        self._threads = [threading.Thread(target=self._run)]
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the other side may go whenever it likes
            asked = connection.recv(65536).decode("latin-1")
            if asked:
                self.asked.append(asked)
                self._answer(connection, asked)


def answers(status: bytes, body: bytes, *headers: bytes) -> Callable[[socket.socket, str], None]:
    def answer(connection: socket.socket, _: str) -> None:
        head = b"\r\n".join([status, b"Content-Length: %d" % len(body), b"Connection: close", *headers])
        connection.sendall(head + b"\r\n\r\n" + body)

    return answer


def hurried(server: Server, *, attempt_s: float = 0.6, retry_s: float = 0.5) -> S3Store:
    return S3Store("bucket", endpoint_url=server.url, credentials=KEYS, attempt_s=attempt_s, retry_s=retry_s)


REQUESTS: list[Callable[[Store], object]] = [
    lambda store: store.put("a", b"x"),
    lambda store: store.put("a", b"x", only_new=True),
    lambda store: store.put_stream("a", [b"x" * MIB] * 9),
    lambda store: store.get("a"),
    lambda store: store.get_range("a", 0, 5),
    lambda store: list(store.stream("a")),
    lambda store: store.size("a"),
    lambda store: store.exists("a"),
    lambda store: store.delete("a"),
    lambda store: store.delete_all(["a", "b"]),
    lambda store: list(store.keys("")),
    lambda store: store.signed_url("a", valid_s=60),
    lambda store: store.check(),
]
NAMES = [
    "put",
    "only_new",
    "put_stream",
    "get",
    "get_range",
    "stream",
    "size",
    "exists",
    "delete",
    "delete_all",
    "keys",
    "signed_url",
    "check",
]


@contextmanager
def given_up_within(seconds: float, match: str = "object store: ") -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=match) as raised:
        yield
    assert time.monotonic() - began < seconds
    assert KEYS.secret_access_key not in str(raised.value)


def test_a_stop_and_a_lease_outlast_every_request() -> None:
    assert objectstore.TOTAL_S <= 15
    store = S3Store("bucket", endpoint_url="http://127.0.0.1:1", credentials=KEYS)
    retries = store._bucket.retry_config
    assert retries["retry_timeout"].total_seconds() == objectstore.RETRY_S
    assert retries["backoff"]["max_backoff"].total_seconds() == objectstore.PAUSE_S


@pytest.mark.parametrize("operation", REQUESTS, ids=NAMES)
def test_a_server_in_trouble_is_asked_again_and_given_up_in_time(operation: Callable[[Store], object]) -> None:
    with Server(answers(b"HTTP/1.1 503 Slow Down", b"")) as server, given_up_within(3, "503"):
        operation(hurried(server))
    assert 2 <= len(server.asked) <= objectstore.MAX_RETRIES + 1


@pytest.mark.parametrize("operation", REQUESTS, ids=NAMES)
def test_a_silent_server_is_given_up_in_time(operation: Callable[[Store], object]) -> None:
    with Server(lambda *_: server.wait(10)) as server, given_up_within(2.8):
        operation(hurried(server))


def test_a_server_that_recovers_in_time_costs_nothing() -> None:
    def answer(connection: socket.socket, asked: str) -> None:
        if len(server.asked) < 3:
            answers(b"HTTP/1.1 503 Slow Down", b"")(connection, asked)
        else:
            answers(b"HTTP/1.1 200 OK", b"", b'ETag: "1"')(connection, asked)

    with Server(answer) as server:
        assert hurried(server, retry_s=5).put("a", b"x")
    assert len(server.asked) == 3


def dribbling(body: bytes, *, cut_after: int, pace_s: float = 0.0) -> Callable[[socket.socket, str], None]:
    """Serves ``body`` or the range asked for, and lets go after so many bytes of it."""

    def answer(connection: socket.socket, asked: str) -> None:
        wanted = re.search(r"range: bytes=(\d+)-(\d*)", asked)
        start = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]), len(body) - 1) if wanted and wanted[2] else len(body) - 1
        part = body[start : last + 1]
        status = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (start, last, len(body))
        head = b"HTTP/1.1 " + (status if wanted else b"200 OK") + b"\r\nContent-Length: %d" % len(part)
        connection.sendall(
            head + b'\r\nETag: "1"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: close\r\n\r\n'
        )
        for byte in part[:cut_after]:
            connection.sendall(bytes([byte]))
            if pace_s:
                time.sleep(pace_s)

    return answer


READS: list[Callable[[Store], bytes]] = [
    lambda store: store.get("a"),
    lambda store: store.get_range("a", 0, 100),
    lambda store: b"".join(store.stream("a")),
]


@pytest.mark.parametrize("read", READS, ids=["get", "get_range", "stream"])
def test_a_body_that_is_cut_is_read_on_from_there(read: Callable[[Store], bytes]) -> None:
    body = bytes(range(100))
    with Server(dribbling(body, cut_after=60)) as server:
        assert read(hurried(server)) == body
    assert len(server.asked) == 2


@pytest.mark.parametrize("read", READS, ids=["get", "get_range", "stream"])
def test_a_body_that_never_comes_whole_is_an_error_and_no_short_bytes(read: Callable[[Store], bytes]) -> None:
    with Server(dribbling(bytes(100), cut_after=0)) as server, given_up_within(3):
        read(hurried(server))


@pytest.mark.parametrize("read", READS, ids=["get", "get_range", "stream"])
def test_a_body_that_comes_too_slowly_is_given_up_in_time(read: Callable[[Store], bytes]) -> None:
    with Server(dribbling(bytes(100), cut_after=100, pace_s=0.2)) as server, given_up_within(2.8):
        read(hurried(server))


def test_an_upload_that_the_server_fails_is_given_up_there() -> None:
    begun = (
        b"<?xml version='1.0'?><InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"
    )

    def answer(connection: socket.socket, asked: str) -> None:
        status = b"HTTP/1.1 403 Forbidden" if asked.startswith("PUT") else b"HTTP/1.1 200 OK"
        answers(status, begun if asked.startswith("POST") else b"")(connection, asked)

    with Server(answer) as server, given_up_within(5):
        hurried(server).put_stream("a", [b"x" * MIB] * 20)
    assert server.asked[0].startswith("POST /bucket/a?uploads")
    assert any(asked.startswith("DELETE /bucket/a?uploadId=7") for asked in server.asked)


def test_a_conflict_that_is_not_decided_yet_is_nobody_s_success_and_no_loss() -> None:
    """Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""
    body = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    with Server(answers(b"HTTP/1.1 409 Conflict", body)) as server, given_up_within(3, "ConditionalRequestConflict"):
        hurried(server).put("a", b"x", only_new=True)
    assert "if-none-match: *" in server.asked[0]


def test_a_server_that_does_not_delete_is_believed() -> None:
    body = (
        b"<?xml version='1.0'?><DeleteResult><Deleted><Key>a</Key></Deleted>"
        b"<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    with Server(answers(b"HTTP/1.1 200 OK", body, b"Content-Type: application/xml")) as server:
        store = hurried(server)
        with pytest.raises(UnavailableError, match="AccessDenied"):
            store.delete_all(["a", "b"])


HEADS = ("size", "exists", "signed_url")  # their 404 has no body that could say what is not there


@pytest.mark.parametrize(
    "operation", [pytest.param(one, id=name) for one, name in zip(REQUESTS, NAMES, strict=True) if name not in HEADS]
)
def test_a_wrong_address_is_not_taken_for_a_lost_object(operation: Callable[[Store], object]) -> None:
    """An article whose bytes the store lost is fetched again, and set aside in the end."""
    with (
        Server(answers(b"HTTP/1.1 404 Not Found", b"<html>no such page</html>")) as server,
        pytest.raises(UnavailableError, match="404 Not Found"),
    ):
        operation(hurried(server))


@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (b"404 Not Found", b"NoSuchBucket", "correct ARCHIVE_URL"),
        (b"403 Forbidden", b"AccessDenied", "rights to put, get, delete and list"),
        (b"403 Forbidden", b"InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
        (b"403 Forbidden", b"SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (b"400 Bad Request", b"ExpiredToken", "AWS_SESSION_TOKEN"),
        (b"400 Bad Request", b"AuthorizationHeaderMalformed", "correct AWS_REGION"),
        (b"501 Not Implemented", b"NotImplemented", "needs conditional writes"),
        (b"301 Moved Permanently", b"PermanentRedirect", "region"),
    ],
)
def test_what_does_not_pass_by_itself_is_told_with_its_cure(status: bytes, code: bytes, cure: str) -> None:
    body = b"<Error><Code>" + code + b"</Code></Error>"
    with (
        Server(answers(b"HTTP/1.1 " + status, body)) as server,
        pytest.raises(UnavailableError, match=cure) as raised,
    ):
        hurried(server).put("a", b"x")
    assert "PUT" in str(raised.value)
    assert len(server.asked) == 1 or status.startswith(b"5")


def test_what_the_server_quotes_of_the_request_is_not_told_on() -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>x-amz-security-token:hunter2</CanonicalRequest></Error>"
    with (
        Server(answers(b"HTTP/1.1 403 Forbidden", body)) as server,
        pytest.raises(UnavailableError, match="403 Forbidden, SignatureDoesNotMatch") as raised,
    ):
        hurried(server).put("a", b"x")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_without_keys_the_error_says_which_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answers(b"HTTP/1.1 403 Forbidden", b"")) as proxy:  # stands in for the machine's own service
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(UnavailableError, match="set AWS_ACCESS_KEY_ID"):
            S3Store("bucket").put("a", b"x")


def test_names_that_no_archive_has_are_said_to_be_in_the_way() -> None:
    """They cannot be listed; moto refuses to hold such a name, so it stands in the answer of a server of ours."""
    body = (
        b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a//b</Key>"
        b"<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>1</ETag><Size>1</Size></Contents></ListBucketResult>"
    )
    with (
        Server(answers(b"HTTP/1.1 200 OK", body, b"Content-Type: application/xml")) as server,
        pytest.raises(UnavailableError, match="a bucket or a prefix of its own in ARCHIVE_URL"),
    ):
        list(hurried(server).keys(""))


def test_a_fork_of_a_process_that_used_a_store_is_told_so_instead_of_waiting_for_ever(
    s3_endpoint: str, bucket: str
) -> None:
    script = (
        "import os, sys; from worker.archive.objectstore import S3Credentials, S3Store\n"
        "store = S3Store(sys.argv[2], endpoint_url=sys.argv[1],\n"
        "                credentials=S3Credentials(access_key_id='a', secret_access_key='b'))\n"
        "store.put('a', b'x')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: store.get('a')\n"
        "    except RuntimeError: os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, s3_endpoint, bucket],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.stdout == "7\n"


def test_a_server_that_is_not_there_makes_the_store_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: refuses
        store = S3Store(
            "bucket", endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}", credentials=KEYS, retry_s=0.5
        )
        with given_up_within(3, "HTTP error: .*Connect"):
            store.get("a")


def test_the_secret_is_not_in_what_is_printed() -> None:
    assert "test-secret" not in repr(KEYS)
    store = S3Store("bucket", endpoint_url="http://127.0.0.1:1", credentials=KEYS)
    assert "test-secret" not in repr(store) + repr(vars(store)) + repr(store._bucket.config)
    assert "test-secret" not in repr(Settings.from_env(settings_of("http://127.0.0.1:1", "bucket")))
