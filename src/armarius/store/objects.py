"""Objects under keys: in a folder, or in an S3-compatible bucket.

Owns reading and creating them, through one library for both. Does not own what they say.
Invariant: nothing that is there is replaced, whoever else writes at the same time; nothing is read beyond the limit
that was given; in a folder no link is followed and nothing is opened that is no file.
"""

import contextlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError
from obstore.store import LocalStore, S3Store

from armarius.errors import DataError, HostError, UsageError

__all__ = ["Found", "Missing", "Objects", "open_objects"]

_KEY = re.compile(r"[\w@+-][\w @+.()-]*(?:/[\w@+-][\w @+.()-]*)*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")
_S3_SETTINGS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"),
)


class Found(msgspec.Struct, frozen=True):
    """An object, and the mark of this state of it."""

    data: bytes
    etag: str | None


class Missing(DataError):
    """There is no such object."""


class Objects:
    """The objects of one place; `folder` None: a bucket."""

    def __init__(self, store: Any, shown: str, folder: Path | None = None) -> None:
        self._store, self.shown, self._folder = store, shown, folder

    def get(self, key: str, limit: int, etag: str | None = None) -> Found | None:
        """The object; None when it is still the one with `etag`. Missing where there is none."""
        self._check(key)
        try:
            found = obstore.get(self._store, key, options={"if_none_match": etag} if etag else {})
            if found.meta["size"] > limit:
                raise DataError("too-large", f"{self._at(key)} has more than {limit:,} bytes", "shorten it")
            data = bytearray()
            for piece in found.stream(min_chunk_size=1 << 20):
                data += piece
                if len(data) > limit:
                    raise DataError("too-large", f"{self._at(key)} has more than {limit:,} bytes", "shorten it")
            return Found(bytes(data), found.meta.get("e_tag"))
        except NotModifiedError:
            return None
        except FileNotFoundError as error:
            raise Missing("object-missing", f"{self._at(key)} does not exist", "check the address") from error
        except (BaseError, OSError) as error:
            raise self._trouble("read", key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; False when there is one."""
        try:
            obstore.put(self._store, self._check(key), data, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._trouble("write", key, error) from error
        return True

    def keys(self, prefix: str) -> list[str]:
        """The keys below `prefix/`, in order."""
        try:
            pages: Any = obstore.list(self._store, self._check(prefix))  # pyright: ignore[reportUnknownMemberType]
            return sorted(entry["path"] for page in pages for entry in page)
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise self._trouble("list", prefix, error) from error

    def _at(self, key: str) -> str:
        return f"{self.shown}/{key}"

    def _trouble(self, what: str, key: str, error: Exception) -> HostError:
        reason = str(error).partition("\n")[0][:300]
        return HostError("objects", f"cannot {what} {self._at(key)}: {reason}", "check the address and its credentials")

    def _check(self, key: str) -> str:
        """`key`, when it stays below this place; in a folder also: when no link and no device is on the way."""
        if _KEY.fullmatch(key) is None:
            raise DataError("object-key", f"{key[:200]!r} is no key", "keys are words with / between them")
        if self._folder is not None:
            place = self._folder
            for part in key.split("/"):
                place = place / part
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    mode = place.lstat().st_mode
                    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                        raise DataError("object-kind", f"{place} is no plain file or folder", "take it away")
        return key


def open_objects(place: str, environ: Mapping[str, str]) -> Objects:
    """The objects at `place`: a folder, `file://…`, or `s3://BUCKET/PREFIX` with the AWS_* of `environ`."""
    scheme, separator, _ = place.partition("://")
    if not separator or scheme == "file":
        folder = Path(unquote(urlsplit(place).path) if separator else place).expanduser().absolute()
        try:
            return Objects(LocalStore(folder, mkdir=True, automatic_cleanup=False), str(folder), folder)
        except (BaseError, OSError) as error:
            raise HostError("objects", f"{folder} cannot be used: {error}".partition("\n")[0], "check it") from error
    if scheme != "s3":
        raise UsageError("objects", f"{scheme}:// is no place for objects", "name a folder or s3://BUCKET/PREFIX")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if _BUCKET.fullmatch(bucket) is None or (prefix and _KEY.fullmatch(prefix) is None):
        raise UsageError("objects", f"{place!r} is no bucket", "name it as s3://BUCKET/PREFIX")
    config: Any = {name.lower(): environ[name] for name in _S3_SETTINGS if environ.get(name)}
    endpoint: str = next((config[name] for name in sorted(config) if name.startswith("aws_endpoint")), "")
    plain: Any = {"allow_http": urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1")}
    store = S3Store(bucket, prefix=prefix or None, config=config, client_options=plain, retry_config={"max_retries": 3})
    return Objects(store, f"s3://{bucket}" + (f"/{prefix}" if prefix else ""))
