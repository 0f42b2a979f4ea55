"""Serves the dashboard: one Voila server, whose every page is a kernel of its own.

Voila lets a browser send no code to a kernel, strips the sources of what it shows, and serves no file of this folder.
On other addresses than loopback a token is wanted. SECURITY.md says how to run it for others.
"""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
#: The page's notebook: what notebooks/12_dashboard.ipynb runs, alone in a folder.
_SOURCE = "from cxrkit.dashboard import dashboard\n\ndashboard({language!r})"
#: What a viewer's browser loads of JupyterLab: all that widgets need.
_EXTENSIONS = ["anywidget", "@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8"]
#: A socket's path has at most 104 bytes (macOS; Linux 108); Voila and Jupyter add 65 to the private folder's.
_LONGEST_FOLDER = 38
#: Milliseconds. Jupyter asks one interval after a page was opened whether it answered within the timeout, so that a
#: timeout that is not longer than the interval would end every link then.
_PINGS = {"ws_ping_interval": 30_000, "ws_ping_timeout": 90_000}


class ServeError(ValueError):
    """A server that cannot start; the message says why and what to do."""


def dashboard(
    *,
    host: str = "127.0.0.1",
    port: int = 8866,
    token: str | None = None,
    idle_minutes: float = 20,
    language: str = "en",
    open_browser: bool = False,
    base_url: str = "/",
) -> None:
    """Serve the dashboard until the process is told to end.

    Args:
        host: address to listen on; other than loopback only with a token.
        port: to listen on.
        token: wanted of every browser, as ?token=...; None: none on loopback, elsewhere one is made and printed; "" for
            none anywhere, where a proxy in front asks who comes.
        idle_minutes: after so long without a message a kernel is ended, and its films are gone.
        language: the page begins with, where a viewer's browser does not say.
        open_browser: open the page here.
        base_url: path under which a proxy passes it on.
    Raises:
        ServeError: an illegal option, a port that is taken, or no Voila.
    """
    if not 0 < port < 65536:
        raise ServeError(f"port must be from 1 to 65535; got {port}.")
    if not idle_minutes > 0:
        raise ServeError(f"idle_minutes must be above 0; got {idle_minutes}.")
    base_url = f"/{base_url.strip('/')}/".replace("//", "/")
    if token is None:
        token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    _see_free(host, port)
    with tempfile.TemporaryDirectory(prefix="cxrkit-") as folder, _environment(folder):
        notebook = Path(folder) / "dashboard.ipynb"
        notebook.write_text(page(language), encoding="utf-8")
        _serve(notebook, host, port, token, idle_minutes, open_browser, base_url)


def page(language: str = "en") -> str:
    """Return the page's notebook, as JSON.

    Args:
        language: that it begins with.
    """
    cell: dict[str, Any] = {"cell_type": "code", "id": "page", "metadata": {}, "execution_count": None, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel},
            # An empty cell first: the page is told when it has run, and so when there is a kernel.
            "cells": [
                {**cell, "id": "kernel", "source": "pass"},
                {**cell, "source": _SOURCE.format(language=language)},
            ],
        }
    )


def link_template() -> Path:
    """Let any Voila of this environment find the page's template, as an ordinary install does by itself.

    Returns:
        The link, below sys.prefix.
    Raises:
        OSError: it cannot be made.
    """
    source = _HERE / "voila" / "templates" / "cxrkit"
    link = Path(sys.prefix) / "share" / "jupyter" / "voila" / "templates" / "cxrkit"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        # An ordinary install's own.
        return link
    link.symlink_to(source, target_is_directory=True)
    return link


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _see_free(host: str, port: int) -> None:
    """Refuse a port that is taken; Voila would take another without a word."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ServeError(
            f"{host} port {port} cannot be listened on ({error.strerror or error}); name another with --port or --host."
        ) from error


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Set what kernels of the page start with, and put it back; `folder` is private and goes with the server."""
    wanted = {
        # Where Voila looks for our template first.
        "JUPYTER_PATH": os.pathsep.join([str(_HERE), *filter(None, [os.environ.get("JUPYTER_PATH")])]),
        # IPython keeps a history, and a profile, there.
        "IPYTHONDIR": folder,
        # A kernel looks at a film with one thread; further heaps would only make it larger.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONPATH": os.pathsep.join([str(_HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _give_xsrf_cookie(request: Any, notebook: Any, cwd: str) -> None:
    """Let a page that is left end its kernel: Voila's script must send this cookie's value; nothing else sets it."""
    _ = request.xsrf_token


def _serve(
    notebook: Path, host: str, port: int, token: str, idle_minutes: float, open_browser: bool, base_url: str
) -> None:
    # Not before: they take half a second, which a refusal need not wait for.
    try:
        from tornado.ioloop import IOLoop
        from traitlets.config import Config
        from voila.app import Voila
    except ImportError as error:
        raise ServeError(
            f"the dashboard needs {error.name or 'voila'}, which is not installed; install cxrkit with its extra "
            "notebooks, or use the environment that `make` makes."
        ) from error

    config = Config()
    config.Voila.ip, config.Voila.port, config.Voila.port_retries = host, port, 0
    config.Voila.token, config.Voila.open_browser, config.Voila.base_url = token, open_browser, base_url
    # Voila would read settings out of the folder that it is started in.
    config.Voila.config_file_paths = [str(notebook.parent)]
    config.Voila.connection_dir_root = str(notebook.parent)
    config.Voila.log_level = "WARN"
    config.Voila.tornado_settings = _PINGS
    # Tornado takes them for its own, which may not be so, and says that to whoever runs the server.
    logging.getLogger("tornado.general").addFilter(lambda record: "websocket_ping_timeout" not in record.getMessage())
    if os.name == "posix" and len(os.fsencode(notebook.parent)) <= _LONGEST_FOLDER:
        # Sockets in the private folder; TCP ports could be listened to by others on this machine.
        config.KernelManager.transport = "ipc"
    config.VoilaConfiguration.template = "cxrkit"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.strip_sources = True
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.file_allowlist = []
    config.VoilaConfiguration.extension_allowlist = _EXTENSIONS
    config.VoilaConfiguration.prelaunch_hook = _give_xsrf_cookie
    config.MappingKernelManager.cull_idle_timeout = max(1, round(60 * idle_minutes))
    config.MappingKernelManager.cull_interval = max(1, min(30, round(15 * idle_minutes)))
    # A kernel that was killed, by a machine without memory say, has lost its page's films. Started anew it would answer
    # nothing, and the page would wait; so it is gone, and the page says that.
    config.KernelRestarter.restart_limit = 0
    # A page that is left open counts as idle too; it says so when it is used again.
    config.MappingKernelManager.cull_connected = True
    # Pictures go as messages; a film is 0.3 MB.
    config.ZMQChannelsWebsocketConnection.iopub_data_rate_limit = 50e6
    Voila.clear_instance()
    server = Voila.instance(config=config)
    server.initialize([str(notebook)])
    shown = host if host not in ("", "0.0.0.0", "::") else socket.gethostname()
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}{base_url}"
    said = f"cxrkit: the dashboard is at {address}{f'?token={token}' if token else ''}; Ctrl-C ends it"

    def ready() -> None:
        if os.name == "posix":
            # As Ctrl-C does: kernels are ended and the private folder goes.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, IOLoop.current().stop)
        # To stderr, as a server's words; stdout may be a pipe that holds them back.
        print(said, file=sys.stderr, flush=True)

    # Once it listens.
    IOLoop.current().add_callback(ready)
    server.start()
