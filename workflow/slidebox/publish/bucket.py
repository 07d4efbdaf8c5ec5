"""A bucket as the place that a site is published to: S3, and what speaks it (Swift, MinIO, Ceph).

Keys and secrets come from the environment (``AWS_ACCESS_KEY_ID`` ...) or from an AWS profile, never
from Slidebox's configuration, never from the address, and not from a cloud's metadata service.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from slidebox.publish.compose import Part
from slidebox.publish.headers import CORS_RULES, Headers
from slidebox.publish.target import BLOCK, SMALL, Conflict, Damaged, Held, If, PublishError, Sent

LARGEST_KEY = 1024  # bytes, in S3 and in Swift
PARTS = 9000  # S3 takes 10,000
PROBE = ".slidebox/probe"


class BucketTarget:
    """``s3://bucket/prefix``.

    Parameters
    ----------
    url : the bucket and, after a slash, what all keys begin with.
    endpoint, region, profile : of the server and of the account; None asks the environment.
    acl : a canned ACL for each object, such as ``public-read``, for buckets without a policy.
    threads : requests at a time.
    part : bytes of a part of a large object; S3 takes no less than 5 MiB.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        acl: str | None = None,
        threads: int = 8,
        part: int = SMALL,
    ) -> None:
        place = url.removeprefix("s3://")
        self.bucket, _, prefix = place.partition("/")
        if not self.bucket or "@" in self.bucket or ":" in self.bucket:
            raise PublishError(f"{url} is not like s3://bucket/prefix; keys and secrets come from "
                               "the environment or an AWS profile")  # fmt: skip
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.url = f"s3://{self.bucket}/{self._prefix}".rstrip("/")
        self._part = part
        self._more = {"ACL": acl} if acl else {}
        self._client = _client(endpoint, region, profile, threads)
        # Parts have workers of their own: a file's worker waits for them.
        self._parts = ThreadPoolExecutor(threads, thread_name_prefix="part")
        self._room = threading.BoundedSemaphore(threads + 1)
        self.conditional = True
        self.notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        with _told(self.url):
            self._client.head_bucket(Bucket=self.bucket)

    def learn(self, known: str | None) -> str:
        """Find out whether writes can be conditional and whether other pages may read the bucket.

        `known` is what an earlier call returned: it is believed, nothing is asked.
        """
        if known is None:
            with _told(self.url):
                found = {"create": self._probe(If()), "replace": self._probe(If("0" * 32))}
            notes = [self._cors(), self._versioning()]
            if not all(found.values()):
                lacking = [
                    f"If-{'None-' * (k == 'create')}Match" for k, v in found.items() if not v
                ]
                notes.append(
                    f"{self.url}: the server ignores {' and '.join(lacking)}: two publications at "
                    "once would not notice each other; let one machine publish"
                )
            known = json.dumps({**found, "notes": [note for note in notes if note]})
            self.notes = tuple(json.loads(known)["notes"])
        said = json.loads(known)
        self._create, self._replace = said["create"], said["replace"]
        self.conditional = self._create and self._replace
        return known

    _create = _replace = True

    def _probe(self, when: If) -> bool:
        """Whether a write that must not happen is refused."""
        key = self._prefix + PROBE
        self._client.put_object(Bucket=self.bucket, Key=key, Body=b"")
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=b"x", **_condition(when))
        except _errors() as error:
            return _status(error) in (409, 412)
        finally:
            self._client.delete_object(Bucket=self.bucket, Key=key)
        return False

    def _cors(self) -> str | None:
        """Set the rules when the bucket has none; a note when that can't be done."""
        rules = json.dumps(CORS_RULES["CORSRules"])
        try:
            have = self._client.get_bucket_cors(Bucket=self.bucket)["CORSRules"]
        except _errors() as error:
            have = [] if _code(error) == "NoSuchCORSConfiguration" else None
        if have and any("GET" in r["AllowedMethods"] and "*" in r["AllowedOrigins"] for r in have):
            return None
        if have == []:
            with suppress(_errors()):
                self._client.put_bucket_cors(Bucket=self.bucket, CORSConfiguration=CORS_RULES)
                return None
        why = "has CORS rules of its own" if have else "does not let its CORS rules be set"
        return f"{self.url}: the bucket {why}; for viewers on other sites they should be {rules}"

    def _versioning(self) -> str | None:
        with suppress(_errors()):
            if self._client.get_bucket_versioning(Bucket=self.bucket).get("Status"):
                return (
                    f"{self.url}: the bucket keeps old versions of objects: what is withdrawn "
                    "stays in them until a lifecycle rule of the bucket removes them"
                )
        return None

    # Looking

    def head(self, key: str) -> tuple[Held, Headers] | None:
        try:
            got = self._client.head_object(Bucket=self.bucket, Key=self._prefix + key)
        except _errors() as error:
            if _status(error) == 404:
                return None
            raise
        headers = Headers(
            got.get("ContentType", ""), got.get("CacheControl", ""), got.get("ContentDisposition")
        )
        return Held(key, got["ContentLength"], got["ETag"].strip('"')), headers

    def get(self, key: str) -> bytes | None:
        try:
            got = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)
            return got["Body"].read()
        except _errors() as error:
            if _status(error) == 404:
                return None
            raise

    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, a block at a time."""
        got = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)
        yield from got["Body"].iter_chunks(BLOCK)

    def list(self, prefix: str) -> Iterator[Held]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._prefix + prefix
        )
        cut = len(self._prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                yield Held(found["Key"][cut:], found["Size"], found["ETag"].strip('"'))

    # Writing

    def put(self, key: str, data: bytes, headers: Headers, when: If | None) -> str:
        md5 = hashlib.md5(data, usedforsecurity=False)
        with _conflicts(key):
            got = self._client.put_object(
                Bucket=self.bucket,
                Key=self._prefix + key,
                Body=data,
                # The server refuses what is not these bytes.
                ContentMD5=base64.b64encode(md5.digest()).decode(),
                **_headers(headers),
                **self._more,
                **self._if(when),
            )
        return got["ETag"].strip('"')

    def put_file(
        self, key: str, file: IO[bytes], size: int, headers: Headers, when: If | None,
        sha256: str | None,
    ) -> Sent:  # fmt: skip
        part = self._part_size(size)
        upload, there = self._resumed(key)
        if upload is None:
            got = self._client.create_multipart_upload(
                Bucket=self.bucket, Key=self._prefix + key, **_headers(headers), **self._more
            )
            upload = got["UploadId"]
        whole, count, number, running = hashlib.sha256(), 0, 0, deque()
        while data := file.read(part):
            number += 1
            whole.update(data)
            count += len(data)
            digest = hashlib.md5(data, usedforsecurity=False)
            if there.get(number) == digest.hexdigest():
                continue
            self._room.acquire()
            running.append(self._parts.submit(self._send, key, upload, number, data, digest))
            running[-1].add_done_callback(self._left)
        del data
        for future in running:
            there.update((future.result(),))
        if sha256 is not None and whole.hexdigest() != sha256:
            self._abort(key, upload)
            raise Damaged(f"sha256 is {whole.hexdigest()} instead of {sha256}")
        parts = [{"PartNumber": n, "ETag": there[n]} for n in range(1, number + 1)]
        with _conflicts(key):
            got = self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=self._prefix + key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **self._if(when),
            )
        return Sent(count, whole.hexdigest(), got["ETag"].strip('"'))

    def compose(
        self, key: str, file: IO[bytes], parts: list[Part], headers: Headers, when: If | None,
        etag: str,
    ) -> Sent | None:  # fmt: skip
        place = {"Bucket": self.bucket, "Key": self._prefix + key}
        upload, _ = self._resumed(key)
        if upload is not None:
            self._abort(key, upload)  # its parts were cut elsewhere
        got = self._client.create_multipart_upload(**place, **_headers(headers), **self._more)
        upload = got["UploadId"]
        whole, md5s, count = hashlib.sha256(), [], 0
        for number, part in enumerate(parts, 1):
            digest = hashlib.md5(usedforsecurity=False)
            held = []
            for block in part.blocks(file):
                whole.update(block)
                digest.update(block)
                count += len(block)
                if part.source is None:
                    held.append(block)
            if part.source is None:
                self._send(key, upload, number, b"".join(held), digest)
            elif not self._copied(place, upload, number, part, digest.hexdigest(), etag):
                self._abort(key, upload)
                return None
            md5s.append(digest.hexdigest())
        listed = [{"PartNumber": n, "ETag": md5} for n, md5 in enumerate(md5s, 1)]
        with _conflicts(key):
            got = self._client.complete_multipart_upload(
                **place, UploadId=upload, MultipartUpload={"Parts": listed}, **self._if(when)
            )
        return Sent(count, whole.hexdigest(), got["ETag"].strip('"'))

    def _copied(
        self, place: dict[str, str], upload: str, number: int, part: Part, md5: str, etag: str
    ) -> bool:
        """Whether the server has copied a part, and it is these bytes."""
        assert part.source is not None
        try:
            got = self._client.upload_part_copy(
                **place,
                UploadId=upload,
                PartNumber=number,
                CopySource=dict(place),
                CopySourceRange=f"bytes={part.source}-{part.source + part.size - 1}",
                CopySourceIfMatch=f'"{etag}"',
            )
        except _errors():
            return False
        return got["CopyPartResult"]["ETag"].strip('"') == md5

    def _left(self, _: Future) -> None:
        self._room.release()

    def _send(self, key: str, upload: str, number: int, data: bytes, digest) -> tuple[int, str]:
        got = self._client.upload_part(
            Bucket=self.bucket,
            Key=self._prefix + key,
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ContentMD5=base64.b64encode(digest.digest()).decode(),
        )
        return number, got["ETag"].strip('"')

    def _resumed(self, key: str) -> tuple[str | None, dict[int, str]]:
        """The unfinished upload of a key that a killed run has left, and its parts' MD5s."""
        try:
            found = self._uploads(key)
        except _errors():  # an account may be allowed to write and not to list
            return None, {}
        mine = [upload for name, upload in found if name == key]
        for old in mine[:-1]:
            self._abort(key, old)
        if not mine:
            return None, {}
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self._prefix + key, UploadId=mine[-1]
        )
        parts = {
            part["PartNumber"]: part["ETag"].strip('"')
            for page in pages
            for part in page.get("Parts", ())
        }
        return mine[-1], parts

    def _uploads(self, prefix: str) -> list[tuple[str, str]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self._prefix + prefix
        )
        cut = len(self._prefix)
        return [
            (upload["Key"][cut:], upload["UploadId"])
            for page in pages
            for upload in page.get("Uploads", ())
        ]

    def _abort(self, key: str, upload: str) -> None:
        self._client.abort_multipart_upload(
            Bucket=self.bucket, Key=self._prefix + key, UploadId=upload
        )

    def abort_uploads(self, prefix: str) -> None:
        for key, upload in self._uploads(prefix):
            self._abort(key, upload)

    def _if(self, when: If | None) -> dict[str, str]:
        if when is None or not (self._create if when.etag is None else self._replace):
            return {}
        return _condition(when)

    def _part_size(self, size: int) -> int:
        return max(self._part, -(-size // PARTS))

    def etag_of(self, file: IO[bytes], size: int) -> str:
        if size <= SMALL:
            return hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
        part, number, all_of_them = self._part_size(size), 0, hashlib.md5(usedforsecurity=False)
        while data := file.read(part):
            number += 1
            all_of_them.update(hashlib.md5(data, usedforsecurity=False).digest())
        return f"{all_of_them.hexdigest()}-{number}"

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=self._prefix + key)

    def address(self, key: str) -> str:
        return f"{self.url}/{key}"


def _client(endpoint: str | None, region: str | None, profile: str | None, threads: int) -> Any:
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = botocore.session.Session(profile=profile)
        # Only the environment and profiles: a machine's role is not asked over the network.
        session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            raise PublishError(
                "there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        return session.create_client(
            "s3",
            region_name=region or session.get_config_variable("region") or "us-east-1",
            endpoint_url=endpoint,
            config=Config(
                max_pool_connections=2 * threads + 2,
                retries={"mode": "standard", "max_attempts": 6},
                # Not all servers know Amazon's newer checksums; Content-MD5 they do.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise PublishError(f"S3: {error}") from None


@functools.cache
def _errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import ClientError

    return (ClientError,)


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _condition(when: If) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if when.etag is None else {"IfMatch": f'"{when.etag}"'}


def _headers(headers: Headers) -> dict[str, str]:
    kept = {"ContentType": headers.content_type, "CacheControl": headers.cache_control}
    if headers.content_disposition:
        kept["ContentDisposition"] = headers.content_disposition
    return kept


class _conflicts:
    """Turns a refused condition into `Conflict`."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        if isinstance(error, _errors()) and _status(error) in (409, 412):
            raise Conflict(f"{self._key} was changed by somebody else") from None


class _told:
    """Turns what goes wrong at the first word with a server into one line."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        from botocore.exceptions import BotoCoreError

        if isinstance(error, BotoCoreError):
            raise PublishError(f"{self._url}: {error}") from None
        if not isinstance(error, _errors()):
            return
        said = {
            404: "there is no such bucket; make it, or mend `publish.to`",
            403: "these credentials may not use the bucket",
            301: "the bucket is in another region; set `publish.region`",
        }.get(_status(error), str(error))
        raise PublishError(f"{self._url}: {said}") from None


Progress = Callable[[int, int], None]
