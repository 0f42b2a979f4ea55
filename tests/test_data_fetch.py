"""Downloads against a server on loopback that cuts the connection, ignores ranges, changes the file and refuses."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import filelock
import pytest

from cxrkit.data import ADAPTERS, SOURCES, fetch
from cxrkit.data import _fetch as private
from cxrkit.data._fetch import FetchError, RemoteFile, Source

BODY = bytes(range(256)) * 4096  # 1,048,576 bytes
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Answers as `server.plan` says: with each of its actions in turn, then with "serve"."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep the tests' output quiet."""

    def do_CONNECT(self):
        self.send_error(403)

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        action = server.plan.pop(0) if server.plan else "serve"
        if callable(action):
            action = action() or "serve"
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and action != "ignore range" else 0
        status = 416 if start >= len(server.body) else 206 if start else 200
        status = action if isinstance(action, int) else 302 if action.startswith("http") else status
        rest = server.body[start - 10 * (action == "wrong range") :] if status < 300 else b""
        self.send_response(status)
        self.send_header("Location", str(action))
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: len(rest) // 2] if action == "cut" else rest)
        self.close_connection = action == "cut"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # pooch waits seconds between its tries.
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        # A client that gives up resets the connection; that is what is tested.
        running.handle_error = lambda *_: None
        running.body, running.plan, running.ranges = BODY, [], []
        running.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def run(url, folder, *, name="film.bin", **known):
    with pytest.MonkeyPatch.context() as patch:
        files = (RemoteFile(url, name, **known),)
        patch.setitem(SOURCES, "test", Source("A test set", "https://example.org/set", "CC0", files))
        (path,) = fetch("test", folder)
    return path.read_bytes()


def test_a_checked_file_comes_once_and_leaves_no_parts(server, tmp_path):
    for _ in range(2):
        assert run(server.url, tmp_path, size=len(BODY), checksum=SHA256) == BODY
    assert len(server.ranges) == 1
    (tmp_path / "film.bin").write_bytes(b"changed")
    assert run(server.url, tmp_path, checksum=SHA256) == BODY
    (tmp_path / "film.bin").rename(tmp_path / ".film.bin.part")
    assert run(server.url, tmp_path, size=len(BODY), checksum=SHA256) == BODY
    assert len(server.ranges) == 2
    assert not list(tmp_path.glob(".film*"))


def test_a_cut_download_continues_where_it_was_cut_also_in_a_second_call(server, tmp_path, monkeypatch):
    server.plan = ["cut", "cut"]
    with monkeypatch.context() as patch:
        patch.setattr(private, "_RETRIES", 0)
        with pytest.raises(FetchError, match=r"Run the same command again; a large file resumes"):
            run(server.url, tmp_path, checksum=SHA256)
    assert not (tmp_path / "film.bin").exists()
    assert run(server.url, tmp_path, checksum=SHA256) == BODY
    assert server.ranges == [None, "bytes=524288-", "bytes=786432-"]


@pytest.mark.parametrize("action", ["ignore range", "wrong range", 416, 429, 503])
def test_a_server_that_cannot_continue_or_is_busy_is_tried_again(server, tmp_path, action):
    server.plan = ["cut", action]
    assert run(server.url, tmp_path, checksum=SHA256) == BODY


def test_a_file_of_two_versions_is_found_out_and_without_a_checksum_it_begins_again(server, tmp_path):
    server.body, server.plan = bytes(len(BODY)), ["cut", lambda: setattr(server, "body", BODY)]
    assert run(server.url, tmp_path, checksum=SHA256) == BODY
    server.plan = ["cut"]
    assert run(server.url, tmp_path, name="unknown.bin") == BODY
    assert server.ranges == [None, "bytes=524288-", None, None, None]


@pytest.mark.parametrize(
    ("plan", "known", "message"),
    [
        ([], {"checksum": f"md5:{'0' * 32}"}, "does not match the known hash.*compare with https://example.org/set"),
        ([], {"size": 99}, "has 1,048,576 bytes at https://example.org/set, and 99 are expected"),
        ([404], {}, "the server refused film.bin .status 404 of .*https://example.org/set"),
    ],
)
def test_wrong_content_and_refusals_name_the_home_page(server, tmp_path, plan, known, message):
    server.plan = plan
    with pytest.raises(FetchError, match=message):
        run(server.url, tmp_path, **known)
    assert not (tmp_path / "film.bin").exists()
    assert "checksum" in known or len(server.ranges) == 1


def test_only_https_or_this_machine(server, tmp_path):
    server.plan = ["http://example.org/f"]
    for url in ("http://example.org/f", "ftp://example.org/f", server.url):
        with pytest.raises(FetchError, match=r"must come over https; got \w+://example\.org"):
            run(url, tmp_path)


def test_a_full_disk_and_another_process_are_noticed_before(server, tmp_path, monkeypatch):
    busy = pytest.raises(FetchError, match="another process is downloading into")
    with filelock.FileLock(tmp_path / ".fetch.lock"), busy:
        run(server.url, tmp_path)
    monkeypatch.setattr(private.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(FetchError, match=r"needs 1,048,576 bytes, .* has 1,000 left; make room"):
        run(server.url, tmp_path)


def zip_of(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "film")
    return out.getvalue()


def tar_of(name, content=b"film", **fields):
    info, out = tarfile.TarInfo(name), io.BytesIO()
    for field, value in {"size": len(content), **fields}.items():
        setattr(info, field, value)
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("images_001.tar.gz", tar_of("images/a.png")),
        *(("set.zip", zip_of("images/a.png", out)) for out in ("../out.png", "/tmp/out.png", "..\\out.png")),
    ],
)
def test_an_archive_is_unpacked_once_and_a_zip_writes_nothing_outside_of_its_folder(server, tmp_path, name, body):
    server.body = body
    run(server.url, tmp_path / "in", name=name)
    (tmp_path / "in/images/a.png").unlink()
    run(server.url, tmp_path / "in", name=name)
    assert not (tmp_path / "in/images/a.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


UNSAFE = {
    "path": tar_of("../out.png"),
    "link": tar_of("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": tar_of("link", b"", type=tarfile.LNKTYPE, linkname="../../out"),
    "pipe": tar_of("pipe", b"", type=tarfile.FIFOTYPE),
    "damaged": tar_of("a.png", bytes(10_000))[:60],
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_unsafe_or_damaged_archive_is_refused(server, tmp_path, kind):
    server.body = UNSAFE[kind]
    with pytest.raises(FetchError, match=r"set\.tar\.gz cannot be unpacked .*; delete it and fetch it again"):
        run(server.url, tmp_path / "in", name="set.tar.gz")
    assert not list(tmp_path.rglob("out*"))


def test_a_kaggle_set_that_cannot_be_had_names_both_ways_and_no_key(server, tmp_path, monkeypatch):
    # A proxy that refuses every connection stands for whatever goes wrong at Kaggle.
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, server.url)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    with pytest.raises(FetchError, match=r"token at https://www\.kaggle\.com/settings") as caught:
        fetch("covid19-radiography", tmp_path / "new")
    assert "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database" in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"


def test_unknown_names_are_listed_and_every_source_is_https_and_has_an_adapter(tmp_path):
    with pytest.raises(ValueError, match="name must be one of chestxray14, covid-chestxray"):
        fetch("mnist", tmp_path)
    with pytest.raises(ValueError, match=r"only must be of Data_Entry_2017_v2020.csv"):
        fetch("chestxray14", tmp_path, only=["x"])
    assert all(file.url.startswith("https://") for found in SOURCES.values() for file in found.files)
    assert set(SOURCES) - {"squeezenet-imagenet"} <= set(ADAPTERS)
