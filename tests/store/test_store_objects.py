"""Objects in a folder and in a bucket: one contract for both."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from armarius.errors import ArmariusError, DataError, HostError, UsageError
from armarius.store.objects import Found, Missing, Objects, open_objects
from support.s3 import BUCKET, s3_running


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_running() as environ:
        yield environ


@pytest.fixture(params=["folder", "file://", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "s3":
        return open_objects(f"s3://{BUCKET}/{tmp_path.name}", request.getfixturevalue("s3"))
    place = f"{tmp_path}/group one"
    return open_objects(place if request.param == "folder" else f"file://{place.replace(' ', '%20')}", {})


def test_what_was_written_is_read_and_listed(objects: Objects) -> None:
    assert objects.keys("sessions") == []
    assert objects.create("sessions/a-1.json", b"one")
    objects.create("sessions/b c.json", b"two")
    objects.create("other/x", b"")
    assert objects.keys("sessions") == ["sessions/a-1.json", "sessions/b c.json"]
    found = objects.get("sessions/a-1.json", 100)
    assert found
    assert found.data == b"one"
    assert objects.get("other/x", 0) == Found(b"", objects.get("other/x", 0).etag)  # type: ignore[union-attr]


def test_what_is_there_is_never_created_again(objects: Objects) -> None:
    assert objects.create("k", b"one")
    assert not objects.create("k", b"two")
    found = objects.get("k", 10)
    assert found
    assert found.data == b"one"


def test_of_many_who_create_one_wins(objects: Objects) -> None:
    won = list[int]()
    gate = threading.Barrier(8)

    def work(number: int) -> None:
        gate.wait()
        if objects.create("k", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = objects.get("k", 10)
    assert found
    assert [found.data] == [str(number).encode() for number in won]


def test_nothing_is_sent_again_that_did_not_change(objects: Objects) -> None:
    objects.create("m", b"one")
    first = objects.get("m", 10)
    assert first
    assert objects.get("m", 10, first.etag) is None
    obstore.put(objects._store, "m", b"other")  # pyright: ignore[reportPrivateUsage]  # somebody else does it
    second = objects.get("m", 10, first.etag)
    assert second
    assert second.data == b"other"


def test_what_is_missing_or_too_large_is_an_error_of_data(objects: Objects) -> None:
    with pytest.raises(Missing):
        objects.get("nothing", 10)
    objects.create("large", b"x" * 11)
    with pytest.raises(DataError, match="more than 10 bytes"):
        objects.get("large", 10)


@pytest.mark.parametrize(
    "key", ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a/.", "..", "a\\b", "a\0b", "C:/x", "a/b/", "a\nb", "~/x"]
)
def test_no_key_leads_out(objects: Objects, key: str) -> None:
    for ask in (lambda: objects.get(key, 9), lambda: objects.create(key, b"x")):
        with pytest.raises(DataError, match=r"no key|no plain"):
            ask()


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
def test_in_a_folder_no_link_is_followed_and_no_pipe_opened(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("secret")
    objects = open_objects(str(tmp_path / "hub"), {})
    match kind:
        case "link":
            (tmp_path / "hub" / "x").symlink_to(tmp_path / "secret")
            key = "x"
        case "folder link":
            (tmp_path / "hub" / "d").symlink_to(tmp_path)
            key = "d/secret"
        case _:
            os.mkfifo(tmp_path / "hub" / "x")
            key = "x"
    with pytest.raises(DataError, match="no plain file"):
        objects.get(key, 100)
    with pytest.raises(DataError, match="no plain file"):
        objects.create(key, b"x")
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize("place", ["ftp://x/y", "http://127.0.0.1/x", "s3://", "s3://UPPER/x", "s3://b/../x"])
def test_what_is_no_place_is_an_error_of_usage(place: str) -> None:
    with pytest.raises(UsageError):
        open_objects(place, {})


def test_a_place_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError):
        open_objects(str(tmp_path / "file" / "below"), {})
    gone = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b-secret"}
    with pytest.raises(ArmariusError) as caught:
        open_objects(f"s3://{BUCKET}", gone | {"AWS_REGION": "us-east-1"}).get("k", 10)
    assert "b-secret" not in str(caught.value)
