"""The dashboard's server: where it listens, who may come, what can be sent to a kernel."""

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import jupytext
import nbformat
import pytest
import servers
from jupyter_server.base.websocket import WebSocketMixin
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from cxrkit.dashboard import _serve as serve

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "12_dashboard.ipynb"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_addresses_are_recognised(host):
    assert serve.is_loopback(host)
    assert not any(map(serve.is_loopback, ("0.0.0.0", "::", "example.org")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 0}, "port must be from 1 to 65535; got 0"),
        ({"idle_minutes": 0}, "idle_minutes must be above 0; got 0"),
        ({"host": "no.such.host.invalid"}, r"no.such.host.invalid port 8866 cannot be used \(.*\); choose another"),
    ],
)
def test_an_illegal_option_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        serve.dashboard(**options)


def test_a_port_in_use_is_refused_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "cxrkit", "dashboard", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cxrkit: 127.0.0.1 port {port} cannot be used (Address already in use)")
    assert len(done.stderr.splitlines()) == 1


def test_without_voila_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "voila.app", None)
    with pytest.raises(ValueError, match="which is not installed; install cxrkit with the extra `notebooks`"):
        serve.dashboard(port=servers.free_port())


def test_a_connection_is_not_closed_before_its_first_ping():
    class Link(WebSocketMixin):
        settings = serve._PINGS

    # Jupyter checks for an answer one interval after the connection was opened, before it has sent a ping.
    assert Link().ping_timeout > Link().ping_interval


def test_what_is_served_is_what_the_notebook_runs():
    page, notebook = nbformat.reads(serve.page("zh-Hant"), as_version=4), jupytext.read(NOTEBOOK)
    parameters, code = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert parameters == 'LANGUAGE = "en"'
    assert page.cells[-1].source == code.replace("LANGUAGE", "'zh-Hant'")
    assert notebook.metadata["voila"] == {"template": "cxrkit"}


def test_the_template_is_linked_repeatedly_and_an_installed_one_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    installed = tmp_path / "share/jupyter/voila/templates/cxrkit"
    for _ in range(2):
        assert (serve.link_template() / "index.html.j2").is_file()
    installed.unlink()
    installed.mkdir()
    assert serve.link_template() == installed
    assert list(installed.iterdir()) == []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    arguments = ["cxrkit", "dashboard", "--token", "s3cret"]
    with servers.served(arguments, folder, servers.environment(folder / "home"), token="s3cret") as running:
        yield running


def test_without_the_token_nobody_gets_a_page_and_with_it_nobody_gets_a_file(guarded):
    with urllib.request.urlopen(guarded.url, timeout=60) as answer:
        assert "login" in answer.url
        assert "skeleton" not in answer.read().decode()
    files = ("voila/files/dashboard.ipynb", "files/dashboard.ipynb", "voila/files/../../etc/passwd")
    for path in (f"api/kernels/{uuid.uuid4()}", *(f"{file}?token=s3cret" for file in files)):
        with pytest.raises(urllib.error.HTTPError, match=r"403|404"):
            urllib.request.urlopen(f"{guarded.url}{path}", timeout=60)


def test_an_address_that_others_can_reach_gets_a_token(tmp_path):
    arguments, home = ["cxrkit", "dashboard", "--host", "0.0.0.0"], servers.environment(tmp_path / "home")
    with servers.served(arguments, tmp_path, home) as running:
        assert "?token=" in running.log.read_text(encoding="utf-8")
        with urllib.request.urlopen(running.url, timeout=60) as answer:
            assert "login" in answer.url


def test_no_code_can_be_sent_to_a_kernel(guarded, tmp_path):
    headers = {"Authorization": "token s3cret"}
    with urllib.request.urlopen(urllib.request.Request(guarded.url, headers=headers), timeout=60) as answer:
        kernel = re.search(r'"kernelId": ?"([^"]+)"', answer.read().decode())[1]
    target = tmp_path / "owned"

    def message(kind, content):
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "s", "version": "5.3"}
        whole = {"header": header | {"date": ""}, "parent_header": {}, "metadata": {}, "content": content}
        return json.dumps(whole | {"channel": "shell", "buffers": []})

    async def talk():
        url = f"{guarded.url.replace('http', 'ws')}api/kernels/{kernel}/channels"
        link = await websocket_connect(HTTPRequest(url, headers=headers))
        code = {"code": f"open({str(target)!r}, 'w').close()", "silent": False, "store_history": False}
        code |= {"user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        await link.write_message(message("execute_request", code))
        # This message is allowed and comes second: its reply shows that the kernel has handled the first.
        await link.write_message(message("kernel_info_request", {}))
        kinds = []
        while "kernel_info_reply" not in kinds:
            kinds.append(json.loads(await link.read_message())["msg_type"])
        link.close()
        return kinds

    kinds = IOLoop().run_sync(talk, timeout=60)
    assert {"execute_reply", "execute_input"}.isdisjoint(kinds)
    assert not target.exists()
