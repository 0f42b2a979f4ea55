"""Serves the dashboard: one Voila server with one kernel per page.

Browsers cannot send code to a kernel, sources are not shown, and no file of the folder is served. Addresses other than
loopback need a token. SECURITY.md explains how to run it for others.
"""

import asyncio
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
#: The code of the page's notebook, as in notebooks/12_dashboard.ipynb.
_SOURCE = "from cxrkit.dashboard import Dashboard\n\nDashboard(language={language!r})"
#: JupyterLab extensions that the browser loads; widgets need no others.
_EXTENSIONS = ["anywidget", "@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8"]
#: A socket's path has at most 104 bytes (macOS; Linux 108); Voila and Jupyter add 65 to the private folder's path.
_LONGEST_FOLDER = 38
#: Milliseconds. Jupyter checks one interval after a page was opened whether it answered within the timeout, so a
#: timeout shorter than the interval would close every connection.
_PINGS = {"ws_ping_interval": 30_000, "ws_ping_timeout": 90_000}


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
    """Serve the dashboard until the process is stopped.

    Args:
        host, port: to listen on.
        token: required from every browser as ?token=...; None: no token on loopback, elsewhere one is created and
            printed; "": no token, for use behind a proxy that authenticates.
        idle_minutes: a kernel without a message for this long is ended, with its images.
        language: the page's first language; the browser's setting has priority.
        open_browser: open the page in a browser on this machine.
        base_url: path under which a proxy serves it.
    Raises:
        ValueError: an illegal option, a port that is taken, or no Voila.
    """
    if not 0 < port < 65536:
        raise ValueError(f"port must be from 1 to 65535; got {port}.")
    if not idle_minutes > 0:
        raise ValueError(f"idle_minutes must be above 0; got {idle_minutes}.")
    base_url = f"/{base_url.strip('/')}/".replace("//", "/")
    if token is None:
        token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    _see_free(host, port)
    # Imported late: half a second that an error message need not wait for.
    try:
        from tornado.ioloop import IOLoop
        from traitlets.config import Config
        from voila.app import Voila
    except ImportError as error:
        raise ValueError(
            f"the dashboard needs {error.name or 'voila'}, which is not installed; install cxrkit with the extra "
            "`notebooks`, or use the environment that `make` creates."
        ) from error
    shown = host if host not in ("", "0.0.0.0", "::") else socket.gethostname()
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}{base_url}"
    message = f"cxrkit: the dashboard is at {address}{f'?token={token}' if token else ''}; press Ctrl-C to stop it"
    # Private, and deleted with the server.
    with tempfile.TemporaryDirectory(prefix="cxrkit-") as folder:
        os.environ.update(_environment(folder))
        notebook = Path(folder) / "dashboard.ipynb"
        notebook.write_text(page(language), encoding="utf-8")
        settings = _settings(folder, idle_minutes)
        settings["Voila"] |= {"ip": host, "port": port, "port_retries": 0, "token": token, "base_url": base_url}
        settings["Voila"]["open_browser"] = open_browser
        # Tornado warns about this setting, which is correct for Jupyter (see _PINGS).
        tornado = logging.getLogger("tornado.general")
        tornado.addFilter(lambda record: "websocket_ping_timeout" not in record.getMessage())
        Voila.clear_instance()
        server = Voila.instance(config=Config(settings))
        server.initialize([str(notebook)])
        # Printed once the server listens.
        IOLoop.current().add_callback(_ready, message, IOLoop.current().stop)
        server.start()


def page(language: str) -> str:
    """Return the page's notebook, as JSON, with the page's first language."""
    from nbformat import v4

    # An empty first cell: when it has run, the page knows that there is a kernel.
    cells = [v4.new_code_cell(source) for source in ("pass", _SOURCE.format(language=language))]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))


def link_template() -> Path:
    """Link the page's template into this environment for any Voila, and return the link.

    A regular (not editable) install has the template there, which is kept.
    """
    source = _HERE / "voila" / "templates" / "cxrkit"
    link = Path(sys.prefix) / "share" / "jupyter" / "voila" / "templates" / "cxrkit"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(source, target_is_directory=True)
    return link


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _see_free(host: str, port: int) -> None:
    """Refuse a port that is in use; Voila would silently choose another."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ValueError(
            f"{host} port {port} cannot be used ({error.strerror or error}); choose another with --port or --host."
        ) from error


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of the page's kernels."""

    def before(name: str, path: Path) -> str:
        return os.pathsep.join([str(path), *filter(None, [os.environ.get(name)])])

    return {
        # Voila searches here first for our template.
        "JUPYTER_PATH": before("JUPYTER_PATH", _HERE),
        "PYTHONPATH": before("PYTHONPATH", _HERE.parents[1]),
        # IPython writes a history and a profile there.
        "IPYTHONDIR": folder,
        # One thread per kernel is enough; more heaps would only use more memory.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _give_xsrf_cookie(request: Any, notebook: Any, cwd: str) -> None:
    """Set the XSRF cookie, whose value Voila's script must send to end its kernel when the page is left."""
    _ = request.xsrf_token


def _settings(folder: str, idle_minutes: float) -> dict[str, dict[str, Any]]:
    """Return the settings of Voila and Jupyter by class."""
    settings: dict[str, dict[str, Any]] = {
        "Voila": {
            # Otherwise Voila would read settings from the current folder.
            "config_file_paths": [folder],
            "connection_dir_root": folder,
            "log_level": "WARN",
            "tornado_settings": _PINGS,
        },
        "VoilaConfiguration": {
            "template": "cxrkit",
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "strip_sources": True,
            "show_tracebacks": False,
            "file_allowlist": [],
            "extension_allowlist": _EXTENSIONS,
            "prelaunch_hook": _give_xsrf_cookie,
        },
        "MappingKernelManager": {
            "cull_idle_timeout": max(1, round(60 * idle_minutes)),
            "cull_interval": max(1, min(30, round(15 * idle_minutes))),
            # An open page counts as idle too; it reports that when it is used again.
            "cull_connected": True,
        },
        # A killed kernel (for example out of memory) has lost the page's images. A restarted one would not answer, so
        # it is not restarted, and the page reports that it is gone.
        "KernelRestarter": {"restart_limit": 0},
        # Images are sent as messages; one is about 0.3 MB.
        "ZMQChannelsWebsocketConnection": {"iopub_data_rate_limit": 50e6},
    }
    if os.name == "posix" and len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        # Sockets in the private folder; TCP ports would be open to other users of this machine.
        settings["KernelManager"] = {"transport": "ipc"}
    return settings


def _ready(message: str, stop: Callable[[], None]) -> None:
    if os.name == "posix":
        # Like Ctrl-C: kernels are ended and the private folder is deleted.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    # To stderr: stdout may be a pipe that buffers.
    print(message, file=sys.stderr, flush=True)
