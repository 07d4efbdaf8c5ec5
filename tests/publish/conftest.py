"""A bucket of the tests' S3 server to publish to, and its address for readers without a key."""

from __future__ import annotations

import urllib.request
import uuid

import pytest

from slidebox.publish import bucket


@pytest.fixture
def place(s3_server, monkeypatch) -> str:
    """A fresh prefix in the tests' bucket; credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    to = f"s3://{s3_server.bucket}/{uuid.uuid4()}/a site"
    client = bucket.BucketTarget(to, endpoint=s3_server.endpoint)._client
    if s3_server.bucket not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=s3_server.bucket)
    return to


@pytest.fixture
def open_to_all(place, s3_server):
    """Call it after publishing: the address at which anybody may read, Swift's own."""

    def opened() -> str:
        client = bucket.BucketTarget(place, endpoint=s3_server.endpoint)._client
        # Parts of large objects Swift keeps elsewhere; only its own tools open those to all.
        client.put_bucket_acl(Bucket=s3_server.bucket, ACL="public-read")
        storage = f"{s3_server.endpoint}/v1/AUTH_{s3_server.key.partition(':')[0]}"
        try:
            urllib.request.urlopen(f"{storage}/{s3_server.bucket}").close()
        except OSError as error:
            pytest.skip(f"this server is read by nobody without a key ({error})")
        return f"{storage}/{place.removeprefix('s3://').replace(' ', '%20')}"

    return opened
