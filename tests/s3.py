"""A real S3 endpoint over HTTP, and the other side of it: what a library of its own sees there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

from worker.archive.objectstore import S3Credentials

KEYS = S3Credentials(access_key_id="test", secret_access_key="test-secret")


@contextmanager
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(endpoint_url: str):
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=KEYS.access_key_id,
        aws_secret_access_key=KEYS.secret_access_key,
    )


def new_bucket(endpoint_url: str) -> str:
    name = f"bucket-{os.urandom(6).hex()}"
    made = s3_client(endpoint_url)
    made.create_bucket(Bucket=name)
    made.close()
    return name


def environment(endpoint_url: str, bucket: str) -> dict[str, str]:
    """Settings of an installation that keeps its archive there."""
    return {
        "NEWSMILL_S3_ENDPOINT": endpoint_url,
        "BUCKETEER_BUCKET_NAME": bucket,
        "BUCKETEER_AWS_ACCESS_KEY_ID": KEYS.access_key_id,
        "BUCKETEER_AWS_SECRET_ACCESS_KEY": KEYS.secret_access_key,
    }
