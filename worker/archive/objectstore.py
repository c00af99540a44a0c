"""The archive in an S3-compatible object store. The only file that imports obstore."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError
from obstore.store import S3Store as Bucket

from worker.archive.store import STREAM_BYTES, MissingObjectError, checked_key, is_key, probe
from worker.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import S3Config, S3Credential

# A stop leaves 17 s to the stage in hand, so no request may take longer, its retries included: the last attempt begins
# within RETRY_S of the first and a pause of at most PAUSE_S, and has ATTEMPT_S from the name lookup to the last byte.
ATTEMPT_S = 9.0
RETRY_S = 5.0
PAUSE_S = 1.0
TOTAL_S = ATTEMPT_S + RETRY_S + PAUSE_S

CONNECT_S = 4.0
MAX_RETRIES = 10  # more than fit into RETRY_S
PIECE_BYTES = 8 * 1024 * 1024  # of one request of a large object: S3 wants 5 MiB at least, and takes 10,000 of them
PIECES_AT_ONCE = 2  # memory of an upload: these and the one that is being filled
LISTED_AT_ONCE = 1000  # what the server gives in one answer
MAX_VALID_S = 7 * 86_400  # S3 signs for no longer


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """Keys for a bucket."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __call__(self) -> S3Credential:
        """As obstore asks for them: so it takes these and looks at no others."""
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.session_token,
            "expires_at": None,
        }


class S3Store:
    """See ``Store``. Objects lie under ``<prefix>/<key>``.

    Each request, its retries included, ends within TOTAL_S. ``put``, ``get``, ``get_range``, ``size``, ``exists`` and
    ``delete`` are one request; ``stream`` and ``put_stream`` are one for PIECE_BYTES, ``keys`` and ``delete_all`` one
    for 1,000 keys. Not to be used on both sides of a fork: see ``_refuse_fork``.

    Args:
        prefix: Without outer slashes; "" for the bucket's root.
        endpoint_url: Of another service than Amazon's.
        path_style: The bucket stands in the URL's path, not before its host.
        encryption: How the server shall encrypt what it stores, "AES256" or "aws:kms"; None: as the bucket says.
        kms_key_id: For "aws:kms"; None: the account's own.
        credentials: None: the role of this machine, container or pod, as Amazon's services hand them out.
        attempt_s, retry_s: See ATTEMPT_S and RETRY_S.
    """

    is_remote = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        path_style: bool = True,
        region: str = "us-east-1",
        encryption: str | None = None,
        kms_key_id: str | None = None,
        credentials: S3Credentials | None = None,
        attempt_s: float = ATTEMPT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._root = f"{prefix}/" if prefix else ""
        options: S3Config = {"region": region, "virtual_hosted_style_request": not path_style}
        if endpoint_url:
            options["aws_endpoint_url_s3"] = endpoint_url if path_style else _with_bucket(endpoint_url, bucket)
        if encryption:
            options["server_side_encryption"] = encryption
        if kms_key_id:
            options["sse_kms_key_id"] = kms_key_id
        with _translated(bucket):
            self._bucket = Bucket(
                bucket,
                config=options,
                credential_provider=credentials,
                client_options={
                    "allow_http": True,  # who writes http:// in front of an endpoint means it
                    "connect_timeout": timedelta(seconds=min(CONNECT_S, attempt_s)),
                    "timeout": timedelta(seconds=attempt_s),
                    # Servers and gateways forget a connection that is idle, and some do not say so.
                    "pool_idle_timeout": timedelta(seconds=20),
                },
                retry_config={
                    "max_retries": MAX_RETRIES,
                    "retry_timeout": timedelta(seconds=retry_s),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=PAUSE_S),
                        "base": 2,
                    },
                },
            )

    def put(self, key: str, data: bytes, *, content_type: str | None = None, only_new: bool = False) -> bool:
        name = self._name(key)
        with _translated(key):
            try:
                obstore.put(
                    self._bucket,
                    name,
                    data,
                    attributes=_attributes(content_type),
                    mode="create" if only_new else "overwrite",
                    use_multipart=False,
                )
            except AlreadyExistsError as error:
                if _Answer.of(error).code == "ConditionalRequestConflict":  # nobody's yet: another write is under way
                    raise
                return False
        return True

    def put_stream(self, key: str, parts: Iterable[bytes], *, content_type: str | None = None) -> int:
        name = self._name(key)
        rest = iter(parts)
        first = _up_to(PIECE_BYTES, rest)
        if len(first) < PIECE_BYTES:
            self.put(key, first, content_type=content_type)
            return len(first)
        # obstore asks for the parts while it is at work in this thread, and could not be used by them here.
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            upload = _Upload(chain((first,), _asked(rest, elsewhere)))
            with _translated(key, not_ours=upload):
                obstore.put(
                    self._bucket,
                    name,
                    upload,
                    attributes=_attributes(content_type),
                    use_multipart=True,
                    chunk_size=PIECE_BYTES,
                    max_concurrency=PIECES_AT_ONCE,
                )
        return upload.size

    def get(self, key: str) -> bytes:
        name = self._name(key)
        with _translated(key):
            return obstore.get(self._bucket, name).bytes().to_bytes()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        if length == 0:  # cannot be asked for
            self.size(key)
            return b""
        found = self._piece(key, {"range": (start, start + length)})
        return b"" if found is None else found[1]

    def stream(self, key: str) -> Iterator[bytes]:
        return self._parts(checked_key(key))

    def size(self, key: str) -> int:
        name = self._name(key)
        with _translated(key):
            return int(obstore.head(self._bucket, name)["size"])

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except MissingObjectError:
            return False
        return True

    def delete(self, key: str) -> None:
        name = self._name(key)
        with _translated(key):
            obstore.delete(self._bucket, name)

    def delete_all(self, keys: Sequence[str]) -> None:
        names = [self._name(key) for key in keys]
        if names:
            with _translated(f"{keys[0]} and {len(keys) - 1} more"):
                obstore.delete(self._bucket, names)

    def keys(self, prefix: str) -> Iterator[str]:
        begin = self._root + prefix
        folder = begin.rpartition("/")[0]  # obstore lists whole folders only
        with _translated(prefix):
            for page in obstore.list(self._bucket, prefix=folder or None, chunk_size=LISTED_AT_ONCE):
                names = (found["path"] for found in page)
                keys = (name.removeprefix(self._root) for name in names if name.startswith(begin))
                yield from filter(is_key, keys)

    def signed_url(self, key: str, *, valid_s: int) -> str:
        if not 0 < valid_s <= MAX_VALID_S:
            raise UsageError(f"A signed URL is valid for 1 to {MAX_VALID_S} seconds (7 days), not {valid_s}.")
        self.size(key)
        with _translated(key):
            return obstore.sign(self._bucket, "GET", self._name(key), timedelta(seconds=valid_s))

    def check(self) -> None:
        probe(self)

    def _name(self, key: str) -> str:
        return self._root + checked_key(key)

    def _parts(self, key: str) -> Iterator[bytes]:
        """Piece by piece, so that each has its own deadline, and all of one and the same object."""
        start, size, same = 0, 1, None
        while start < size:
            options: GetOptions = {"range": (start, start + PIECE_BYTES)}
            found = self._piece(key, {**options, "if_match": same} if same else options)
            if found is None:
                return
            answer, data = found
            start, size, same = start + len(data), answer.meta["size"], answer.meta["e_tag"]
            for begin in range(0, len(data), STREAM_BYTES):
                yield data[begin : begin + STREAM_BYTES]

    def _piece(self, key: str, options: GetOptions) -> tuple[GetResult, bytes] | None:
        """None: the object ends before it."""
        name = self._name(key)
        with _translated(key):
            try:
                answer = obstore.get(self._bucket, name, options=options)
                return answer, answer.bytes().to_bytes()
            except BaseError as error:
                if _Answer.of(error).code == "InvalidRange":
                    return None
                raise


class _Upload:
    """Parts as obstore asks for them; remembers how many bytes they were and what they raised."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.size = 0
        self.trouble: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            self.trouble = error
            raise
        self.size += len(part)
        return part


def _asked(parts: Iterator[bytes], elsewhere: Executor) -> Iterator[bytes]:
    while (part := elsewhere.submit(next, parts, None).result()) is not None:
        yield part


def _up_to(enough: int, parts: Iterator[bytes]) -> bytes:
    """The first parts in one, until they are ``enough`` bytes or end."""
    data = bytearray()
    for part in parts:
        data += part
        if len(data) >= enough:
            break
    return bytes(data)


def _attributes(content_type: str | None) -> dict[str, str]:
    return {"Content-Type": content_type or "application/octet-stream"}


def _with_bucket(endpoint_url: str, bucket: str) -> str:
    parts = urlsplit(endpoint_url)
    return urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))


# ---------------------------------------------------------------- what goes wrong


_user: int | None = None  # the process that obstore's threads belong to


def _refuse_fork() -> None:
    """Threads of obstore's do the work, and a forked child has none of them: it would wait for ever.

    Raises: RuntimeError: this process is the fork of one that has used an object store.
    """
    global _user  # noqa: PLW0603 - the threads are the process's too, whatever store asks first
    if _user is None:
        _user = os.getpid()
    if _user != os.getpid():
        raise RuntimeError("an object store was used before this process was forked: use the first one after the fork")


@contextlib.contextmanager
def _translated(key: str, *, not_ours: _Upload | None = None) -> Iterator[None]:
    """Our errors for obstore's; ``from None``, since its text quotes the server's, which may quote what we signed.

    Args:
        not_ours: What this raises is somebody else's trouble, and comes out as it is.
    """
    _refuse_fork()
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        if not_ours is not None and not_ours.trouble is not None:
            raise not_ours.trouble from None
        answer = _Answer.of(error)
        if isinstance(error, FileNotFoundError) and answer.is_of_an_object:
            raise MissingObjectError(key) from None
        if isinstance(error, InvalidPathError):
            raise UnavailableError(
                f"object store: it holds names that no archive has ({key}); give the archive a bucket or a prefix of "
                "its own in ARCHIVE_URL"
            ) from None
        raise UnavailableError(f"object store: {answer.told} ({key})") from None


_TOLD = re.compile(r"status code: (\d{3}[^:\n]*)|(HTTP error: [^\n]*)")
_METHOD = re.compile(r"Error performing ([A-Z]+) ")
_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")
_KIND = re.compile(r"kind: (\w+)")
_NO_KEYS = re.compile(r"http://(?:169\.254\.|\[fd00:)")  # where machines and containers are told their role
_WRONG_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_CURES = {  # of what does not pass by itself
    "NoSuchBucket": "there is no such bucket: create it, or correct ARCHIVE_URL",
    "AccessDenied": "these keys need the rights to put, get, delete and list objects there",
    "InvalidAccessKeyId": _WRONG_KEYS,
    "SignatureDoesNotMatch": _WRONG_KEYS,
    "ExpiredToken": "AWS_SESSION_TOKEN is no longer valid",
    "AuthorizationHeaderMalformed": "correct AWS_REGION",
    "NotImplemented": "newsmill needs conditional writes (If-None-Match) of it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What obstore's text says of the server's answer, the only place that has it."""

    code: str  # S3's name of the error; "" when the server gave none
    method: str  # of the request; "" when none was made
    told: str

    @property
    def is_of_an_object(self) -> bool:
        """Whether a 404 means an object: S3 says so by name, but to HEAD it cannot. Any other one is a wrong address's,
        and must not be taken for a loss.
        """
        return self.code == "NoSuchKey" or self.method == "HEAD"

    @classmethod
    def of(cls, error: Exception) -> _Answer:
        text = str(error)
        named = _CODE.search(text)
        code = (named[1] or named[2]) if named else ""
        performed = _METHOD.search(text)
        method = performed[1] if performed else ""
        if _NO_KEYS.search(text.partition("\n")[0]):
            return cls(code=code, method=method, told="no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        said = _TOLD.search(text)
        kind = _KIND.search(text)
        answered = said[1] or said[2] if said else text.partition("\n")[0].rpartition(" - ")[2]
        told = [f"{method} {answered}", code, kind[1] if kind else "", _CURES.get(code, "")]
        return cls(code=code, method=method, told=", ".join(part.strip() for part in told if part))
