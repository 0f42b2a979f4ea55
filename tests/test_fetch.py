"""Downloads against a server on loopback that cuts the connection, ignores ranges, changes the file, lies and hangs."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cxrkit.data import _datasets as datasets
from cxrkit.data import _fetch as fetch

BODY = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server:
    """A server whose answers a test sets: `plan` holds what to do with each request in turn, then "serve"."""

    def __init__(self):
        self.body, self.etag, self.plan, self.requests = BODY, '"v1"', [], []
        self.hang = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                """Keep the tests' output quiet."""

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                outer.answer(self, outer.plan.pop(0) if outer.plan else "serve")

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A client that gives up resets the connection; that is what is tested, not news.
        self.httpd.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/file"
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, request, action):
        if isinstance(action, int):
            request.send_response(action)
            request.send_header("Content-Length", "0")
            request.send_header("Retry-After", "0")
            request.end_headers()
            return
        if callable(action):
            action = action() or "serve"
        if action.startswith("to "):
            request.send_response(302)
            request.send_header("Location", action[3:])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if action == "hang":
            self.hang.wait(20)
            request.close_connection = True
            return
        start = 0
        asked = request.headers.get("Range")
        fresh = request.headers.get("If-Range") in (None, self.etag)
        if asked and fresh and action != "ignore range":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if action == "wrong range":
                start -= 10
            if start >= len(self.body):
                self.answer(request, 416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        else:
            request.send_response(200)
        if self.etag:
            request.send_header("ETag", self.etag)
        rest = self.body[start:]
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        request.wfile.write(rest[: len(rest) // 2] if action == "cut" else rest)
        request.close_connection = action == "cut"

    @property
    def ranges(self):
        return [headers.get("Range") for _, headers in self.requests]


@pytest.fixture
def server():
    running = Server()
    yield running
    running.hang.set()
    running.httpd.shutdown()
    running.httpd.server_close()


def source(server, *, name="film.bin", kaggle=False, **known):
    file = fetch.RemoteFile(server.url, name, **known)
    return fetch.Source("test", "A test set", "https://example.org/set", "CC0", (file,), kaggle=kaggle)


def run(server, folder, *, retries=3, only=None, unpack=True, keep_archives=True, progress=None, timeout_s=5, **known):
    (receipt,) = fetch.fetch(
        source(server, **known),
        folder,
        only=only,
        unpack=unpack,
        keep_archives=keep_archives,
        progress=progress,
        retries=retries,
        wait_s=0,
        timeout_s=timeout_s,
    )
    return receipt


def left_overs(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_file_comes_with_a_receipt_and_leaves_no_parts(server, tmp_path):
    receipt = run(server, tmp_path, size=len(BODY), sha256=SHA256)
    assert (tmp_path / "film.bin").read_bytes() == BODY
    assert json.loads((tmp_path / "film.bin.receipt.json").read_text())["sha256"] == SHA256
    assert (receipt.verified, receipt.etag) == ("size, sha256", '"v1"')
    assert left_overs(tmp_path) == []


def test_without_a_published_checksum_the_receipt_keeps_what_came(server, tmp_path):
    receipt = run(server, tmp_path)
    assert (receipt.sha256, receipt.verified) == (SHA256, "")


def test_a_cut_connection_goes_on_where_it_broke_off(server, tmp_path):
    server.plan = ["cut", "cut"]
    run(server, tmp_path, sha256=SHA256)
    assert server.ranges == [None, "bytes=51200-", "bytes=76800-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'
    assert (tmp_path / "film.bin").read_bytes() == BODY


def test_a_second_call_goes_on_where_the_first_gave_up(server, tmp_path):
    server.plan = ["cut"]
    with pytest.raises(fetch.FetchError, match=r"broke off at 51,200 of 102,400 bytes; gave up after 1 tries"):
        run(server, tmp_path, retries=0)
    assert not (tmp_path / "film.bin").exists()
    run(server, tmp_path)
    assert server.ranges[-1] == "bytes=51200-"
    assert (tmp_path / "film.bin").read_bytes() == BODY


def test_a_file_that_changed_between_starts_anew(server, tmp_path):
    new = BODY[::-1]

    def change():
        server.body, server.etag = new, '"v2"'

    server.plan = ["cut", change]
    run(server, tmp_path)
    assert (tmp_path / "film.bin").read_bytes() == new


@pytest.mark.parametrize("action", ["ignore range", "wrong range"])
def test_a_server_that_cannot_go_on_is_asked_for_the_whole(server, tmp_path, action):
    server.plan = ["cut", action]
    run(server, tmp_path, sha256=SHA256)
    assert (tmp_path / "film.bin").read_bytes() == BODY


def test_without_a_version_from_the_server_only_a_checksum_lets_it_go_on(server, tmp_path):
    server.etag = ""
    server.plan = ["cut"]
    run(server, tmp_path)
    assert server.ranges == [None, None]
    server.plan = ["cut"]
    run(server, tmp_path, name="known.bin", sha256=SHA256)
    assert server.ranges[-1] == "bytes=51200-"


def test_a_resumed_file_of_two_versions_is_found_out_and_fetched_whole(server, tmp_path):
    server.etag = ""
    server.body = bytes(len(BODY))

    def heal():
        server.body = BODY

    server.plan = ["cut", heal]
    run(server, tmp_path, sha256=SHA256)
    assert server.ranges == [None, "bytes=51200-", None]
    assert (tmp_path / "film.bin").read_bytes() == BODY


def test_wrong_bytes_are_refused_with_both_checksums(server, tmp_path):
    server.body = bytes(len(BODY))
    with pytest.raises(fetch.FetchError, match=rf"sha256 is [0-9a-f]{{64}}, {SHA256} was expected, twice"):
        run(server, tmp_path, sha256=SHA256)
    assert [path.name for path in tmp_path.iterdir()] == []
    with pytest.raises(fetch.FetchError, match="its md5 is"):
        run(server, tmp_path, md5="0" * 32)


def test_another_size_is_refused_before_it_is_downloaded(server, tmp_path):
    with pytest.raises(fetch.FetchError, match=r"has 102,400 bytes at 127.0.0.1, 99 were expected"):
        run(server, tmp_path, size=99)
    assert not (tmp_path / ".film.bin.part").exists()


@pytest.mark.parametrize(
    ("code", "message"), [(403, "server refused film.bin .403.; download it in a browser"), (404, "no longer at")]
)
def test_a_refusal_is_final_and_says_where_to_look(server, tmp_path, code, message):
    server.plan = [code]
    with pytest.raises(fetch.FetchError, match=message) as caught:
        run(server, tmp_path)
    assert "https://example.org/set" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, code):
    server.plan = [code, code]
    run(server, tmp_path)
    assert len(server.requests) == 3


def test_a_server_that_says_nothing_is_given_up(server, tmp_path):
    server.plan = ["hang", "hang"]
    with pytest.raises(fetch.FetchError, match=r"said nothing for 0.2 s; gave up after 2 tries"):
        run(server, tmp_path, timeout_s=0.2, retries=1)


def test_no_server_at_all(tmp_path):
    file = fetch.RemoteFile("http://127.0.0.1:9/none", "film.bin")
    with pytest.raises(fetch.FetchError, match=r"no connection to 127.0.0.1"):
        fetch.fetch(fetch.Source("t", "T", "https://x.org", "", (file,)), tmp_path, retries=1, wait_s=0)


def test_a_file_that_is_there_is_not_fetched_again_until_it_is_changed(server, tmp_path):
    run(server, tmp_path)
    run(server, tmp_path)
    assert len(server.requests) == 1
    (tmp_path / "film.bin").write_bytes(b"changed")
    run(server, tmp_path)
    assert (tmp_path / "film.bin").read_bytes() == BODY


def test_progress_runs_to_the_end(server, tmp_path):
    server.plan = ["cut"]
    calls = []
    run(server, tmp_path, progress=lambda *call: calls.append(call))
    assert calls[0] == ("film.bin", 0, 102400)
    assert ("film.bin", 51200, 102400) in calls
    assert calls[-1] == ("film.bin", 102400, 102400)


@pytest.mark.parametrize("url", ["http://example.org/f", "file:///etc/passwd", "ftp://example.org/f"])
def test_only_https_or_this_machine(tmp_path, url):
    with pytest.raises(fetch.FetchError, match="https alone"):
        fetch.fetch(fetch.Source("t", "T", "", "", (fetch.RemoteFile(url, "f"),)), tmp_path)


def test_a_redirect_to_plain_http_elsewhere_is_not_followed(server, tmp_path):
    server.plan = ["to http://example.org/f"]
    with pytest.raises(fetch.FetchError, match=r"https alone; got http://example.org"):
        run(server, tmp_path)


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
    return folder


def test_without_a_kaggle_credential_it_says_what_to_do(kaggle, tmp_path):
    with pytest.raises(fetch.FetchError, match=r"make a token at https://www.kaggle.com/settings") as caught:
        fetch.fetch("covid19-radiography", tmp_path)
    text = str(caught.value)
    assert "KAGGLE_USERNAME and KAGGLE_KEY" in text
    assert "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database in a browser" in text


def test_a_kaggle_credential_comes_from_the_file_or_the_environment(kaggle, server, tmp_path, monkeypatch):
    (kaggle / "kaggle.json").write_text('{"username": "ada", "key": "s3cret"}')
    run(server, tmp_path, kaggle=True)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t0ken")
    run(server, tmp_path, name="other.bin", kaggle=True)
    sent = [headers["Authorization"] for _, headers in server.requests]
    assert sent == ["Basic YWRhOnMzY3JldA==", "Bearer t0ken"]


def test_a_refused_credential_is_never_shown(kaggle, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    server.plan = [403]
    with pytest.raises(fetch.FetchError, match=r"Kaggle refused the credential \(403\)") as caught:
        run(server, tmp_path, kaggle=True)
    (kaggle / "kaggle.json").write_text('{"username": "ada", "key": s3cret')
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(fetch.FetchError, match="make a new token") as broken:
        run(server, tmp_path, kaggle=True)
    for error in (caught.value, broken.value):
        assert "s3cret" not in f"{error} {error.__cause__}"
    assert not any(
        "s3cret" in path.read_text(errors="replace") for path in tmp_path.rglob("*.json") if path.parent != kaggle
    )


def test_another_host_gets_no_credential(kaggle, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t0ken")
    other = Server()
    server.plan = [f"to {other.url}"]
    run(server, tmp_path, kaggle=True)
    assert "Authorization" in server.requests[0][1]
    assert "Authorization" not in other.requests[0][1]
    other.httpd.shutdown()
    other.httpd.server_close()


def zip_of(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name, content=b"film", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def test_archives_are_unpacked_once_and_may_then_be_removed(server, tmp_path):
    server.body = zip_of(**{"images/a.png": "film"})
    receipt = run(server, tmp_path, name="set.zip", keep_archives=False)
    assert (tmp_path / "images/a.png").read_text() == "film"
    assert (receipt.verified, receipt.unpacked) == ("archive", True)
    assert not (tmp_path / "set.zip").exists()
    run(server, tmp_path, name="set.zip", keep_archives=False)
    assert len(server.requests) == 1


def test_a_tar_is_unpacked(server, tmp_path):
    server.body = tar_of(member("images/00000001_000.png"))
    run(server, tmp_path, name="images_001.tar.gz")
    assert (tmp_path / "images/00000001_000.png").read_bytes() == b"film"


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "a/../../out.png", "..\\out.png", "C:out.png"])
def test_a_zip_that_reaches_out_of_its_folder_is_not_unpacked(server, tmp_path, name):
    server.body = zip_of(**{"fine.png": "film", name: "film"})
    with pytest.raises(fetch.FetchError, match="reaches out of the folder"):
        run(server, tmp_path / "in", name="set.zip")
    assert not (tmp_path / "in" / "fine.png").exists()
    assert not list(tmp_path.rglob("out.png"))


def test_a_zip_with_a_link_is_not_unpacked(server, tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    server.body = out.getvalue()
    with pytest.raises(fetch.FetchError, match="or is a link"):
        run(server, tmp_path, name="set.zip")


@pytest.mark.parametrize(
    "bad",
    [
        member("../out.png"),
        member("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("link", b"", type=tarfile.LNKTYPE, linkname="../../out"),
        member("pipe", b"", type=tarfile.FIFOTYPE),
    ],
    ids=["path", "link", "hard link", "pipe"],
)
def test_a_tar_with_an_unsafe_member_stops(server, tmp_path, bad):
    server.body = tar_of(bad)
    with pytest.raises(fetch.FetchError, match="is not safe"):
        run(server, tmp_path / "in", name="set.tar.gz")
    assert not list(tmp_path.rglob("out*"))


def test_a_damaged_zip_is_not_taken(server, tmp_path):
    server.body = zip_of(**{"a.png": "film" * 100})[:-40]
    with pytest.raises(fetch.FetchError, match="no whole zip archive"):
        run(server, tmp_path, name="set.zip")


def test_a_damaged_tar_says_to_fetch_it_again(server, tmp_path):
    server.body = tar_of(member("a.png", bytes(10_000)))[:60]
    with pytest.raises(fetch.FetchError, match="delete it and its receipt, and fetch it again"):
        run(server, tmp_path, name="set.tar.gz")


def test_a_full_disk_is_noticed_before(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(fetch.FetchError, match=r"needs 102,400 bytes more, .* has 1,000 left; make room"):
        run(server, tmp_path)


def test_two_processes_do_not_write_into_one_part(server, tmp_path):
    with fetch._locked(tmp_path / ".film.bin.part"), pytest.raises(fetch.FetchError, match="another process"):
        run(server, tmp_path)


def test_unknown_names_are_listed(tmp_path):
    with pytest.raises(ValueError, match="name must be one of chestxray14, covid-chestxray"):
        fetch.fetch("mnist", tmp_path)
    with pytest.raises(ValueError, match=r"only must be of Data_Entry_2017_v2020.csv"):
        fetch.fetch("chestxray14", tmp_path, only=["x"])


def test_every_source_is_https_and_has_an_adapter():
    known = fetch.sources()
    for found in known.values():
        assert all(file.url.startswith("https://") for file in found.files)
        assert found.homepage.startswith("https://")
    assert set(known) - {"squeezenet-imagenet"} <= set(datasets.ADAPTERS)
    assert len(known["chestxray14"].files) == 16
    assert all(len(file.md5) == 32 for file in known["chestxray14"].files[4:])
