"""The archive in an S3-compatible object store. The only file that imports boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from worker.archive.store import MissingObjectError, checked_key, is_key, probe
from worker.errors import UnavailableError

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
MAX_ATTEMPTS = 3  # of one request, the first included; longer trouble pauses the stage
MAX_CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """Keys for a bucket, where boto3's own search (environment, files, instance role) would not find them."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class S3Store:
    """See ``Store``. Objects lie under ``<prefix>/<key>``; one client, made here, shared by the threads of a process.

    Args:
        prefix: Without outer slashes; "" for the bucket's root.
        endpoint_url: Of another service than Amazon's; the bucket then stands in the path, as all of them understand.
        credentials: None: boto3 looks for them where it always does.
        region: None: as boto3 finds it; other services mostly do not care.
        connect_timeout_s, read_timeout_s: Of one attempt, seconds; at most MAX_ATTEMPTS are made.
    """

    is_remote = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        credentials: S3Credentials | None = None,
        region: str | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        with _translated(bucket):
            session = boto3.session.Session(
                aws_access_key_id=credentials.access_key_id if credentials else None,
                aws_secret_access_key=credentials.secret_access_key if credentials else None,
                aws_session_token=credentials.session_token if credentials else None,
                region_name=region,
            )
            self._client = session.client(
                "s3",
                endpoint_url=endpoint_url,
                region_name=session.region_name or "us-east-1",  # without one boto3 would not sign
                config=Config(
                    connect_timeout=connect_timeout_s,
                    read_timeout=read_timeout_s,
                    retries={"total_max_attempts": MAX_ATTEMPTS, "mode": "standard"},
                    max_pool_connections=MAX_CONNECTIONS,
                    s3={"addressing_style": "path" if endpoint_url else "auto"},
                    # Checksum trailers are Amazon's own: other services refuse them.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> None:
        name = self._name(key)
        with _translated(key):
            self._client.put_object(
                Bucket=self._bucket, Key=name, Body=data, ContentType=content_type or "application/octet-stream"
            )

    def get(self, key: str) -> bytes:
        name = self._name(key)
        with _translated(key):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if _code(error) == "NoSuchKey":
                    raise MissingObjectError(key) from error
                raise
            with contextlib.closing(answer["Body"]) as body:
                data: bytes = body.read()
                return data

    def exists(self, key: str) -> bool:
        name = self._name(key)
        with _translated(key):
            try:
                self._client.head_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if _status(error) == HTTPStatus.NOT_FOUND:  # HEAD has no body that could name the error
                    return False
                raise
            return True

    def delete(self, key: str) -> None:
        name = self._name(key)
        with _translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def keys(self, prefix: str) -> Iterator[str]:
        with _translated(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root + prefix
            )
            for page in pages:
                keys = (found["Key"].removeprefix(self._root) for found in page.get("Contents", ()))
                yield from filter(is_key, keys)

    def check(self) -> None:
        probe(self)

    def _name(self, key: str) -> str:
        return self._root + checked_key(key)


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        what = _code(error) or str(_status(error))
        raise UnavailableError(f"object store: {what} at {error.operation_name} ({key})") from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint or bucket that cannot be one
        raise UnavailableError(f"object store: {error} ({key})") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
