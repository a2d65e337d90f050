"""A folder of an S3-compatible object store: every request bounded, every failure in our words.

Credentials, region, endpoint and authority are those that boto3 finds by itself: `AWS_ACCESS_KEY_ID`,
`AWS_PROFILE`, the identity of a pod or a machine, `AWS_ENDPOINT_URL_S3`, `AWS_CA_BUNDLE`. Only this file
imports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from clickstream.infra.errors import ClickstreamError, ConfigurationError, InputError, UnavailableError
from clickstream.infra.extras import need

_CONNECT_S = 3.0

_CHUNK = 1 << 20

_URL = re.compile(r"s3:/+(.+)")

_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})

_LATER = "Is it reachable from here? A consumer goes on as it is, and asks again; run other commands again."


class Object(NamedTuple):
    """The content of an object, and the tag that changes with it."""

    content: bytes
    tag: str


class ListedObject(NamedTuple):
    """An object that is there: its key, its size, and the tag that changes with its content."""

    key: str
    bytes: int
    tag: str


class ChangedMeanwhileError(Exception):
    """The object is no longer the one that was read: somebody else wrote it. Nothing was written."""


def url_of(given: object) -> str | None:
    """The URL `s3://bucket/…` that is given, also as a path, which has one slash less; None: it is none."""
    found = _URL.fullmatch(str(given))
    return None if found is None else f"s3://{found[1]}"


class ObjectFolder:
    """The objects below a URL `s3://bucket/prefix`. Keys are relative to it. Threads may share one.

    Args:
        patience_s: longest wait for a part of an answer.

    Raises:
        ConfigurationError: boto3 is not installed, or its own settings cannot be used.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        need("s3", url, "boto3")
        # Takes a third of a second, and is an extra.
        import boto3
        from botocore.config import Config

        self.url = url.rstrip("/")
        self._bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        with self._asked("work"):
            self._client: Any = boto3.session.Session().client(
                "s3",
                config=Config(
                    connect_timeout=min(_CONNECT_S, patience_s),
                    read_timeout=patience_s,
                    retries={"total_max_attempts": 2, "mode": "standard"},
                    # What only Amazon has is not asked of the others; our hashes are in the manifest.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def get(self, key: str, at_most: int) -> Object | None:
        """An object; None where there is none.

        Raises:
            InputError: it has more than `at_most` bytes; they were not read.
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        try:
            with self._asked(f"read {key}"):
                found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                with found["Body"] as body:
                    content = body.read(at_most + 1)
        except FileNotFoundError:
            return None
        if len(content) > at_most:
            raise InputError(
                f"{self.url}/{key} has {found['ContentLength']:,} bytes; at most {at_most:,} are read",
                "No version of clickstream writes such a file: see who can write there.",
            )
        return Object(content, found["ETag"])

    def tag(self, key: str) -> str | None:
        """The tag of an object, without its content; None where there is none.

        Raises:
            UnavailableError, ConfigurationError: as of `get`.
        """
        try:
            with self._asked(f"read {key}"):
                found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except FileNotFoundError:
            return None
        return str(found["ETag"])

    def listed(self, prefix: str) -> Iterator[ListedObject]:
        """The objects whose keys begin with `prefix`, in the order of their keys.

        Raises:
            UnavailableError, ConfigurationError: as of `get`.
        """
        with self._asked(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for one in page.get("Contents", ()):
                    yield ListedObject(one["Key"][len(self._prefix) :], one["Size"], one["ETag"])

    def fetch(self, one: ListedObject, target: Path) -> None:
        """Copy an object to a file that is there whole or not at all.

        What of it lies beside the file from a copy that broke off is not fetched again.

        Raises:
            ChangedMeanwhileError: it is no longer the one that was listed.
            UnavailableError, ConfigurationError: as of `get`; what was fetched stays.
        """
        part = target.with_name(f"{target.name}.part")
        part.touch()
        while (before := part.stat().st_size) < one.bytes:
            try:
                self._fetch_from(before, one, part)
            except FileNotFoundError as error:
                raise ChangedMeanwhileError from error
            except UnavailableError:
                if part.stat().st_size == before:
                    raise
        if part.stat().st_size > one.bytes:
            part.unlink()
            raise ConfigurationError(
                f"{self.url}/{one.key}: the store gave more than the {one.bytes:,} bytes that it has",
                "It does not heed `Range`, as S3 does: copy the file here by another program.",
            )
        part.replace(target)

    def _fetch_from(self, first: int, one: ListedObject, part: Path) -> None:
        some = {"Range": f"bytes={first}-"} if first else {}
        with self._asked(f"read {one.key}"):
            found = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + one.key, IfMatch=one.tag, **some
            )
            with found["Body"] as body, part.open("ab") as file:
                while chunk := body.read(_CHUNK):
                    file.write(chunk)

    def put(self, key: str, content: bytes) -> None:
        """Write an object, in one atomic step.

        Raises:
            UnavailableError, ConfigurationError: as of `get`; whether it was written is not known.
        """
        with self._asked(f"write {key}"):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def replace(self, key: str, content: bytes, tag: str | None) -> None:
        """Write an object in place of the one with `tag`, None = where there is none, in one atomic step.

        Raises:
            ChangedMeanwhileError: by now it is another one, or there is one.
            UnavailableError, ConfigurationError: as of `put`.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            with self._asked(f"write {key}"):
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + key, Body=content, **condition
                )
        except FileNotFoundError as error:
            raise ChangedMeanwhileError from error

    def folders(self) -> list[str]:
        """Names of the folders right below, in order.

        Raises:
            UnavailableError, ConfigurationError: as of `get`.
        """
        with self._asked("list the bundles"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            parts = [part["Prefix"] for page in pages for part in page.get("CommonPrefixes", ())]
        return sorted(part[len(self._prefix) : -1] for part in parts)

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Turns what a request raises into ours; FileNotFoundError where there is no such object."""
        from botocore import exceptions as aws

        try:
            yield
        except aws.ClientError as error:
            raise self._answered(what, error.response) from error
        except (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError) as error:
            raise UnavailableError(f"cannot {what} in {self.url}: {error}", _LATER) from error
        except (aws.BotoCoreError, ValueError) as error:
            # No credentials, no region, an endpoint that is no URL.
            raise ConfigurationError(
                f"cannot {what} in {self.url}: {error}",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this process an identity; for a"
                " store that is not Amazon's also AWS_ENDPOINT_URL_S3.",
            ) from error

    def _answered(self, what: str, response: Any) -> Exception:
        """What an answer that is no success means; `what` as in `_asked`."""
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _CHANGED or status in (409, 412):
            return ChangedMeanwhileError()
        if code == "NoSuchBucket":
            return self._refused(what, code)
        if status == 404:
            return FileNotFoundError(what)
        if status == 501:
            return ConfigurationError(
                f"cannot {what} in {self.url}: it answers 501 {code}: the store lacks what is asked of it",
                "To promote it must know conditional writes (If-Match, If-None-Match): see its manual.",
            )
        if status >= 500 or code in ("SlowDown", "RequestTimeout"):
            return UnavailableError(f"cannot {what} in {self.url}: it answers {status} {code}", _LATER)
        return self._refused(what, code or str(status))

    def _refused(self, what: str, code: str) -> ClickstreamError:
        return ConfigurationError(
            f"cannot {what} in {self.url}: it answers {code}",
            "Check the name of the bucket, and what the credentials of this process may: s3:GetObject and"
            " s3:ListBucket to read; also s3:PutObject to train, sign or promote.",
        )
