"""Skills of a team: bundles, a hub of them, and a folder that is kept in step without touching what is the user's."""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import DataError
from armarius.skills.bundle import Bundle, BundleFile, bundle_of, check_bundle, check_name, check_path, read_bundle
from armarius.skills.hub import MANIFEST, FolderSource, HubSource, key_of, manifest_line
from armarius.skills.managed import Managed
from armarius.skills.relevance import relevance
from armarius.store.objects import Found, Missing


def skill(name: str, says: str = "x") -> dict[str, bytes]:
    return {"SKILL.md": f"---\nname: {name}\ndescription: about {name}\n---\n{says}\n".encode()}


class Hub:
    """A hub in memory."""

    def __init__(self) -> None:
        self.objects = dict[str, bytes]()
        self.bundles = dict[str, Bundle]()
        self.reads = list[str]()

    def publish(self, name: str, contents: Mapping[str, bytes]) -> None:
        self.bundles[name] = bundle_of(name, contents)
        self.objects |= {key_of(name, path): data for path, data in contents.items()}
        self.list()

    def list(self, *more: bytes) -> None:
        self.objects[MANIFEST] = b"".join([manifest_line(one) for one in self.bundles.values()]) + b"\n".join(more)

    def read(self, key: str, limit: int, etag: str | None) -> Found | None:
        self.reads.append(key)
        if key not in self.objects:
            raise Missing("object-missing", key)
        data = self.objects[key]
        mark = hashlib.sha256(data).hexdigest()
        if len(data) > limit:
            raise DataError("too-large", key)
        return None if mark == etag else Found(data, mark)


class World:
    def __init__(self, folder: Path) -> None:
        self.hub = Hub()
        self.source = HubSource(self.hub.read)
        self.folder = folder / "skills"
        self.managed = Managed(self.folder, folder / "own")

    def sync(self, etag: str | None = None) -> Any:
        return self.managed.sync(self.source, etag)

    def says(self, name: str) -> str:
        return (self.folder / name / "SKILL.md").read_text().splitlines()[-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -------------------------------------------------------------------- what may be in one


THREAT_8 = (
    *("/etc/passwd", "//etc/x", "../x", "a/../../x", "a/..", "..", ".", "./x", "", "a//b", "a/", "/", "~/x", "a/~"),
    *("C:/x", "C:x", "\\\\host\\share", "a\\b", "..\\x", "a\0b", "a\nb", "a\x1bb", "con", "a/NUL", "aux.txt", "COM1"),
    *("a/.", "a. ", "a.", "a ", ".hidden", ".git/config", "a\u202eb", "x" * 300, "a/" * 20 + "b", "a:b", "a*b", "a?b"),
)


@pytest.mark.parametrize("path", THREAT_8)
def test_threat_8_no_path_of_a_bundle_leads_out(world: World, path: str) -> None:
    with pytest.raises(DataError):
        check_path(path)
    data = b"x"
    files = (*bundle_of("pdf", skill("pdf")).files, BundleFile(path, hashlib.sha256(data).hexdigest(), 1))
    lines = "".join(f"{one.path}\0{one.sha256}\0{one.size}\n" for one in sorted(files, key=lambda one: one.path))
    bundle = Bundle("pdf", hashlib.sha256(lines.encode(errors="replace")).hexdigest(), files)
    world.hub.objects[MANIFEST] = manifest_line(bundle)
    synced = world.sync()
    assert synced.added == ()
    assert len(synced.kept) == 1
    assert list(world.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", "", ".x", "con", "a" * 65, "a b", "a\n", "..", "x.", "a\\b", "-x"]
)
def test_threat_8_no_name_of_a_skill_leads_out(world: World, name: str) -> None:
    """S4: the name in the manifest is where it would be put."""
    with pytest.raises(DataError):
        check_name(name)
    bundle = bundle_of("pdf", skill("pdf"))
    world.hub.objects[MANIFEST] = manifest_line(Bundle(name, bundle.tree, bundle.files))
    assert world.sync().added == ()
    assert list(world.folder.iterdir()) == []


@given(st.text(max_size=60))
def test_a_path_that_is_allowed_stays_below_any_folder(text: str) -> None:
    try:
        path = check_path(text)
    except DataError:
        return
    resolved = os.path.normpath(f"/a/b/{path}")
    assert resolved == f"/a/b/{path}"


def test_two_paths_that_are_one_on_other_systems_are_refused() -> None:
    with pytest.raises(DataError, match="but for case"):
        bundle_of("pdf", skill("pdf") | {"A.py": b"", "a.py": b""})


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "socket"])
def test_what_is_no_plain_file_is_read_into_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "pdf"
    folder.mkdir()
    (folder / "SKILL.md").write_bytes(skill("pdf")["SKILL.md"])
    match kind:
        case "link":
            (folder / "x").symlink_to(tmp_path / "secret")
        case "folder link":
            (folder / "x").symlink_to(tmp_path)
        case "pipe":
            os.mkfifo(folder / "x")
        case _:
            with socket.socket(socket.AF_UNIX) as listener:
                monkeypatch.chdir(folder)  # names of sockets are short
                listener.bind("x")
    with pytest.raises(DataError, match="plain files"):
        read_bundle(folder)


def test_the_hash_is_that_of_a_bundle_v1() -> None:
    bundle = bundle_of("pdf", {"SKILL.md": skill("pdf")["SKILL.md"], "scripts/a.py": b"print()"})
    digest = hashlib.sha256()
    for path, data in (("SKILL.md", skill("pdf")["SKILL.md"]), ("scripts/a.py", b"print()")):
        digest.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\0{len(data)}\n".encode())
    assert bundle.tree == digest.hexdigest()
    line = json.loads(manifest_line(bundle))
    assert (line["format"], line["tree_sha256"], line["files"][1]["path"]) == ("bundle_v1", bundle.tree, "scripts/a.py")


@pytest.mark.parametrize(
    "fields",
    [
        {"tree": "0" * 64},
        {"files": ()},
        {"files": bundle_of("pdf", skill("pdf")).files * 300},
        {"files": (BundleFile("SKILL.md", "x", 1),)},
        {"files": (BundleFile("SKILL.md", "0" * 64, 1 << 40),)},
        {"files": (BundleFile("SKILL.md", "0" * 64, -1),)},
    ],
)
def test_a_listing_that_cannot_be_true_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        check_bundle(msgspec.structs.replace(bundle_of("pdf", skill("pdf")), **fields))


# -------------------------------------------------------------------- kept in step


def test_skills_come_change_and_go_and_nothing_is_fetched_twice(world: World) -> None:
    world.hub.publish("pdf", skill("pdf", "one"))
    world.hub.publish("web", skill("web") | {"scripts/run.py": b"print()"})
    first = world.sync()
    assert (first.added, first.updated, first.removed, first.kept) == (("pdf", "web"), (), (), ())
    assert (world.folder / "web" / "scripts" / "run.py").read_bytes() == b"print()"
    world.hub.reads.clear()
    assert world.sync(first.etag) is None
    assert world.hub.reads == [MANIFEST]
    world.hub.publish("pdf", skill("pdf", "two"))
    world.hub.reads.clear()
    second = world.sync(first.etag)
    assert second.updated == ("pdf",)
    assert world.hub.reads == [MANIFEST, "skills/pdf/SKILL.md"]
    assert world.says("pdf") == "two"
    del world.hub.bundles["web"]
    world.hub.list()
    assert world.sync(second.etag).removed == ("web",)
    assert world.managed.names() == ["pdf"]
    assert world.managed.path("pdf").exists()


@pytest.mark.parametrize("kind", ["folder", "link", "file", "dangling link"])
def test_d1_what_is_the_users_is_never_deleted_nor_written_over(world: World, tmp_path: Path, kind: str) -> None:
    world.folder.mkdir()
    mine, other = world.folder / "pdf", world.folder / "mine"
    for place in (mine, other):
        match kind:
            case "folder":
                place.mkdir()
                (place / "SKILL.md").write_text("mine")
            case "file":
                place.write_text("mine")
            case "link":
                (tmp_path / f"{place.name}.d").mkdir()
                (tmp_path / f"{place.name}.d" / "SKILL.md").write_text("mine")
                place.symlink_to(tmp_path / f"{place.name}.d")
            case _:
                place.symlink_to(tmp_path / "nowhere")
    before = sorted((str(path), path.lstat().st_ino) for path in world.folder.rglob("*"))
    world.hub.publish("pdf", skill("pdf"))
    for _ in range(6):
        synced = world.sync()
        assert (synced.added, synced.updated, synced.removed) == ((), (), ())
        assert "not ours" in synced.kept[0]
    assert sorted((str(path), path.lstat().st_ino) for path in world.folder.rglob("*")) == before
    world.hub.bundles.clear()
    world.hub.list()
    world.sync()
    assert sorted((str(path), path.lstat().st_ino) for path in world.folder.rglob("*")) == before


def test_r12_what_was_edited_here_stays(world: World) -> None:
    world.hub.publish("pdf", skill("pdf", "one"))
    world.sync()
    with (world.folder / "pdf" / "SKILL.md").open("a") as file:
        file.write("edited\n")
    world.hub.publish("pdf", skill("pdf", "two"))
    synced = world.sync()
    assert synced.updated == ()
    assert "edited here" in synced.kept[0]
    assert world.says("pdf") == "edited"
    world.hub.bundles.clear()
    world.hub.list()
    assert world.sync().removed == ()
    assert world.says("pdf") == "edited"


@pytest.mark.parametrize("damage", ["bytes", "length", "gone"])
def test_s5_what_is_not_what_was_listed_is_not_taken_and_the_old_one_stays(world: World, damage: str) -> None:
    world.hub.publish("pdf", skill("pdf", "one"))
    world.hub.publish("web", skill("web", "one"))
    world.sync()
    world.hub.publish("pdf", skill("pdf", "two"))
    world.hub.publish("web", skill("web", "two"))
    key = "skills/pdf/SKILL.md"
    good = world.hub.objects[key]
    match damage:
        case "bytes":
            world.hub.objects[key] = good.replace(b"two", b"own")
        case "length":
            world.hub.objects[key] = good + b"x"
        case _:
            del world.hub.objects[key]
    synced = world.sync()
    assert (synced.updated, world.says("pdf"), world.says("web")) == (("web",), "one", "two")
    assert synced.etag is None  # it is tried again
    world.hub.objects[key] = good
    assert world.sync(synced.etag).updated == ("pdf",)


@pytest.mark.parametrize(
    "line", [b"no json", b"[1]", b'{"name":"x"}', b'{"name":"x","tree_sha256":"y","files":[]}', b"\xff", b"[" * 9000]
)
def test_a_line_that_cannot_be_read_holds_up_no_other_and_removes_nothing(world: World, line: bytes) -> None:
    world.hub.publish("pdf", skill("pdf"))
    world.hub.publish("web", skill("web"))
    world.sync()
    del world.hub.bundles["web"]
    world.hub.publish("new", skill("new"))
    world.hub.list(line, b"")
    synced = world.sync()
    assert (synced.added, synced.removed) == (("new",), ())
    assert synced.kept[0].startswith("manifest.jsonl:3: ")
    assert world.managed.names() == ["new", "pdf", "web"]


def test_a_reader_sees_the_old_skill_or_the_new_one_at_every_moment(world: World) -> None:
    """The folder is transiently empty with others, while Codex may be reading it."""
    world.hub.publish("pdf", skill("pdf", "0" * 4000))
    world.sync()
    stop, wrong, seen = threading.Event(), list[str](), set[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                text = world.says("pdf")
            except OSError as error:
                wrong.append(str(error))
                return
            seen.add(text[0])
            if len(set(text)) != 1 or len(text) != 4000:
                wrong.append(text)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 8):
        world.hub.publish("pdf", skill("pdf", str(number) * 4000))
        assert world.sync().updated == ("pdf",)
    stop.set()
    thread.join()
    assert wrong == []
    assert "7" in world.says("pdf")


def test_old_versions_do_not_pile_up(world: World, tmp_path: Path) -> None:
    for number in range(30):
        world.hub.publish("pdf", skill("pdf", str(number)))
        world.sync()
    assert len(list((tmp_path / "own" / "versions").iterdir())) < 12


def test_a_version_that_a_crash_left_half_written_is_written_anew(world: World, tmp_path: Path) -> None:
    world.hub.publish("pdf", skill("pdf", "one"))
    version = tmp_path / "own" / "versions" / f"pdf-{world.hub.bundles['pdf'].tree[:24]}"
    version.mkdir(parents=True)
    (version / "SKILL.md").write_text("half")
    assert world.sync().added == ("pdf",)
    assert world.says("pdf") == "one"


def test_a_plain_folder_of_skills_is_a_source_too(tmp_path: Path) -> None:
    for name in ("pdf", "web"):
        (tmp_path / "team" / name).mkdir(parents=True)
        (tmp_path / "team" / name / "SKILL.md").write_bytes(skill(name)["SKILL.md"])
    (tmp_path / "team" / "notes").mkdir()
    (tmp_path / "team" / "linked").symlink_to(tmp_path / "team" / "pdf")
    managed = Managed(tmp_path / "skills", tmp_path / "own")
    source = FolderSource(tmp_path / "team")
    synced = managed.sync(source)
    assert synced
    assert synced.added == ("pdf", "web")
    assert managed.sync(source, synced.etag) is None
    (tmp_path / "team" / "pdf" / "SKILL.md").write_bytes(skill("pdf", "new")["SKILL.md"])
    again = managed.sync(source, synced.etag)
    assert again
    assert again.updated == ("pdf",)
    with pytest.raises(DataError, match="cannot read the skills"):
        managed.sync(FolderSource(tmp_path / "nothing"))


def test_a_hub_where_nothing_was_published_yet_is_empty(world: World) -> None:
    synced = world.sync()
    assert (synced.added, synced.kept) == ((), ())


# -------------------------------------------------------------------- relevance


def test_a_hub_that_is_not_there_any_more_removes_nothing(world: World) -> None:
    world.hub.publish("pdf", skill("pdf"))
    world.sync()
    del world.hub.objects[MANIFEST]
    synced = world.sync()
    assert (synced.removed, len(synced.kept)) == ((), 1)
    world.hub.list()
    assert world.says("pdf")
    world.hub.objects[MANIFEST] = b""
    assert world.sync().removed == ("pdf",)


def test_a_hub_of_too_many_skills_is_said_and_removes_none(world: World) -> None:
    world.hub.publish("zlast", skill("zlast"))
    assert world.sync().added == ("zlast",)
    line = manifest_line(world.hub.bundles["zlast"])
    many = b"".join(line.replace(b"zlast", b"many%d" % number) for number in range(10_000))
    world.hub.objects[MANIFEST] = many + line
    listing = world.source.listing(None)
    assert listing
    assert len(listing.skills) == 2_000
    assert "2,000" in listing.refused[0]
    world.hub.objects = {key: data for key, data in world.hub.objects.items() if key == MANIFEST or "zlast" in key}
    assert world.sync().removed == ()
    assert world.says("zlast")


def test_rare_words_tell_more_than_common_ones() -> None:
    texts = ["read a file", "read a table", "read the tables of a pdf", "write"]
    fits = relevance("please read the pdf", texts)
    assert max(range(4), key=fits.__getitem__) == 2
    assert fits[3] == 0
    assert relevance("pdf", texts)[2] == relevance("pdf", texts[::-1])[1]
    assert relevance("", texts) == [0, 0, 0, 0]
    assert relevance("x", []) == []
