# SPDX-License-Identifier: Apache-2.0
"""Getting a data set, from a server of our own on this machine."""

import hashlib
import io
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tracekws import download
from tracekws.download import Archive, get
from tracekws.errors import DataError, MissingTool

pytest.importorskip("pooch", reason="pooch is not installed: the extra data brings it")

FILES = {
    "./testing_list.txt": b"yes/a_nohash_0.wav\n",
    "./yes/a_nohash_0.wav": np.random.default_rng(1).bytes(3_000_000),
    "./no/b_nohash_0.wav": np.random.default_rng(2).bytes(1000),
}


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
        link = tarfile.TarInfo("./yes/link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return content.getvalue()


CONTENT = packed(FILES)


@dataclass
class Server:
    """What a server sends, and what it was asked."""

    content: bytes = CONTENT
    cut: list[int] = field(default_factory=list)
    """Bytes after which a connection ends, of each request in turn."""
    resumes: bool = True
    status: int = 200
    url: str = ""
    asked: list[str | None] = field(default_factory=list)

    def archive(self) -> Archive:
        sha = hashlib.sha256(CONTENT).hexdigest()
        return Archive("some_words", self.url, sha, len(CONTENT), 4_000_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and no torchaudio, nor any other machine in between."""
    state = Server()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers["Range"]
            state.asked.append(given)
            start = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given and state.resumes else 0
            body = state.content[start:]
            self.send_response(state.status if state.status != 200 else 206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut.pop(0)] if state.cut else body)

        def log_message(self, *words: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        state.url = f"http://127.0.0.1:{running.server_port}/some_words.tar.gz"
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            running.shutdown()
            thread.join()


def see_tree(folder: Path) -> None:
    """The tree is complete, and nothing else is left."""
    tree = folder / "SpeechCommands" / "some_words"
    there = {f"./{p.relative_to(tree)}": p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    assert there == FILES
    assert [path for path in folder.rglob("*") if path.name.endswith(".part")] == []
    assert [path.name for path in folder.iterdir()] == ["SpeechCommands"]


def test_what_is_fetched_is_unpacked_and_its_progress_told(server, tmp_path):
    told: dict[str, list[tuple[int, int]]] = {}

    def stage(name: str):
        return lambda done, total: told.setdefault(name, []).append((done, total))

    found = get(tmp_path / "new", server.archive(), stage)
    assert (found.tree, found.by) == (tmp_path / "new" / "SpeechCommands" / "some_words", "pooch")
    see_tree(tmp_path / "new")
    assert list(told) == ["downloading, MiB", "checking, MiB", "unpacking, MiB"]
    for steps in told.values():
        assert steps == sorted(steps)
        assert {total for _, total in steps} == {len(CONTENT) >> 20}
        assert steps[-1][0] == len(CONTENT) >> 20
    again = get(tmp_path / "new", server.archive())
    assert (again.tree, again.by) == (found.tree, "")
    assert server.asked == [None]


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "begins-anew"])
def test_a_download_that_broke_off_goes_on(resumes, server, tmp_path):
    server.cut = [2_000_000, 500_000]
    server.resumes = resumes
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"broke off after .*; the same command goes on"
        ) as error:
            get(tmp_path, server.archive())
        assert "\n" not in str(error.value)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == CONTENT[: part.stat().st_size]
    there = part.stat().st_size
    assert there > 0
    get(tmp_path, server.archive())
    see_tree(tmp_path)
    assert server.asked[0] is None
    assert server.asked[2] == f"bytes={there}-"


def test_a_complete_archive_is_not_asked_for(server, tmp_path):
    (tmp_path / "some_words.tar.gz.part").write_bytes(CONTENT)
    get(tmp_path, server.archive())
    see_tree(tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("what", ["changed", "longer"])
def test_another_checksum_is_refused_and_what_came_is_removed(what, server, tmp_path):
    server.content = b"x" + CONTENT[1:] if what == "changed" else CONTENT + b"more"
    with pytest.raises(DataError, match="has another checksum, and was removed"):
        get(tmp_path, server.archive())
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    get(tmp_path, server.archive())
    see_tree(tmp_path)


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_what_a_server_refuses_is_one_line(status, server, tmp_path):
    server.status = status
    server.content = b"a page that says so"
    with pytest.raises(DataError, match=f"{status} .*the same command goes on") as error:
        get(tmp_path, server.archive())
    assert "\n" not in str(error.value)
    assert (tmp_path / "some_words.tar.gz.part").read_bytes() == b""


def test_no_server_is_one_line(server, tmp_path):
    archive = replace(server.archive(), url="http://127.0.0.1:9/some_words.tar.gz")
    with pytest.raises(
        DataError, match=r"broke off after 0 of \d MiB .*Connection refused.*; the"
    ) as error:
        get(tmp_path, archive)
    assert "\n" not in str(error.value)


def test_a_full_disk_is_seen_before_anything_is_fetched(server, tmp_path, monkeypatch):
    archive = server.archive()
    (tmp_path / "some_words.tar.gz.part").write_bytes(CONTENT[:1_000_000])
    needed = len(CONTENT) - 1_000_000 + archive.tree_bytes
    free = [needed - 1, needed]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[0]))
    with pytest.raises(DataError, match=r"0\.0 GB are needed|GB are needed for the archive"):
        get(tmp_path, archive)
    assert server.asked == []
    free.pop(0)
    get(tmp_path, archive)
    see_tree(tmp_path)


@pytest.mark.parametrize("name", ["../out.wav", "/out.wav", "yes/../../out.wav"])
def test_an_archive_that_writes_elsewhere_is_refused(name, server, tmp_path):
    server.content = packed({"./yes/a.wav": b"fine", name: b"not fine"})
    sha = hashlib.sha256(server.content).hexdigest()
    archive = replace(server.archive(), sha256=sha, n_bytes=len(server.content))
    with pytest.raises(DataError, match=r"could not be unpacked .*is outside"):
        get(tmp_path / "in", archive)
    assert not list(tmp_path.rglob("*.wav"))


def test_without_a_downloader_it_says_what_to_install(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingTool, match=r"needs pooch; install it with: .*pip install.*data\]"):
        get(tmp_path / "new", server.archive())
    assert not (tmp_path / "new").exists()


class Torchaudio(ModuleType):
    """Stands for torchaudio: its data set makes the tree, or fails as it does."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("torchaudio")
        self.error = error
        self.calls: list[dict[str, object]] = []
        self.datasets = SimpleNamespace(SPEECHCOMMANDS=self.fetch)

    def fetch(self, root: str, **given: object) -> None:
        self.calls.append({"root": root, **given})
        if self.error:
            raise self.error
        (Path(root) / str(given["folder_in_archive"]) / str(given["url"])).mkdir(parents=True)


def test_torchaudio_is_used_where_it_imports(server, tmp_path, monkeypatch):
    theirs = Torchaudio()
    monkeypatch.setitem(sys.modules, "torchaudio", theirs)
    found = get(tmp_path, server.archive())
    assert (found.tree, found.by) == (tmp_path / "SpeechCommands" / "some_words", "torchaudio")
    assert theirs.calls == [
        {
            "root": str(tmp_path),
            "url": "some_words",
            "folder_in_archive": "SpeechCommands",
            "download": True,
        }
    ]
    assert server.asked == []


@pytest.mark.parametrize(
    "error", [RuntimeError("invalid hash value"), OSError("no route")], ids=str
)
def test_what_torchaudio_cannot_do_is_one_line(error, server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", Torchaudio(error))
    with pytest.raises(DataError, match=f"torchaudio could not fetch it .{error}"):
        get(tmp_path, server.archive())


def test_the_real_archive_is_the_one_that_torchaudio_knows():
    real = download.SPEECH_COMMANDS
    assert real.url.endswith(f"/{real.name}.tar.gz")
    assert re.fullmatch("[0-9a-f]{64}", real.sha256)
    assert real.n_bytes + real.tree_bytes == pytest.approx(6.1e9, rel=0.02)  # as the help says
