"""The server itself: Jupyter's, set up by this module alone, with Voilà and edgeprof's extension in it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from tornado.log import access_log, app_log, gen_log
from traitlets.config import Config

from edgeprof.server import access, kernels
from edgeprof.server.extension import DATA, Health
from edgeprof.server.logs import Formatter, log_request
from edgeprof.server.place import EXPLORER

__all__ = ["Server", "configuration", "serve"]

STOP_SECONDS = 4.0
"""How long kernels have to end after a signal; then they are killed."""
IDLE_SECONDS = 3600
"""After so long without a change a page's kernel ends."""
_PAGES = Path(__file__).parent / "pages"
# Voilà's page needs inline scripts and eval; nothing is loaded from another host.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: wss: data:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)


class Server(ServerApp):
    """A Jupyter server that keeps no secret on the disk, and ends within five seconds of a signal."""

    no_browser_open_file = True
    everything = False
    temporary: Path

    def init_webapp(self) -> None:
        """Put the gate in front of all handlers."""
        super().init_webapp()
        access.guard(self.web_app, Health, everything=self.everything)

    def init_logging(self) -> None:
        """Give all logs the one format that has no token in it."""
        super().init_logging()
        formatter = Formatter(self.identity_provider_token)
        handler = logging.StreamHandler()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(formatter)
        logging.getLogger().handlers[:] = [handler]
        self.log.handlers[:] = []
        self.log.parent, self.log.propagate = logging.getLogger(), True
        for logger in (self.log, access_log, app_log, gen_log):
            logger.setLevel(logging.ERROR)  # of requests there is a line already

    @property
    def identity_provider_token(self) -> str:
        """The token that was configured."""
        return str(self.config.IdentityProvider.token)

    def init_signal(self) -> None:
        """End on either signal, without a question."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def _end(self, *_: object) -> None:
        timer = threading.Timer(STOP_SECONDS, self._kill)
        timer.daemon = True
        timer.start()
        self.stop(from_signal=True)

    def _kill(self) -> None:
        for kernel in list(self.kernel_manager.list_kernel_ids()):
            with contextlib.suppress(Exception):
                os.kill(self.kernel_manager.get_kernel(kernel).provisioner.pid, signal.SIGKILL)  # type: ignore[union-attr]
        shutil.rmtree(self.temporary, ignore_errors=True)
        os._exit(0)

    def write_server_info_file(self) -> None:
        """Write no file: the token would be in it."""

    def running_server_info(self, kernel_count: bool = True) -> str:
        """Say nothing: the address is printed by who starts the server."""
        return ""


def configuration(
    *, token: str, data: Path, notebooks: Path, host: str, port: int, everything: bool
) -> Config:  # fmt: skip
    """Return the whole configuration; no file of the user's or the system's is read beside it."""
    config = Config()
    server = config.ServerApp
    server.ip, server.port, server.port_retries = host, port, 0
    server.open_browser = False
    server.root_dir = str(notebooks)
    server.allow_root = True  # no visitor can execute code; with JupyterLab it is the operator's choice
    server.default_url = "/lab" if everything else f"/voila/render/{EXPLORER}"
    server.allow_unauthenticated_access = False
    server.allow_remote_access = True  # a name that leads here gives nothing to who has no token
    server.allow_origin_pat = r"(?!)"  # no origin: else Jupyter allows any that sends the token
    server.trust_xheaders = True  # of what a proxy says only the protocol matters: for secure cookies
    server.identity_provider_class = access.SharedToken
    server.cookie_secret = os.urandom(32)
    server.extra_template_paths = [str(_PAGES)]
    server.jpserver_extensions = {"edgeprof.server.extension": True, "voila.server_extension": True} | (
        {"jupyterlab": True, "jupyter_server_terminals": True} if everything else {}
    )
    server.terminals_enabled = everything
    server.tornado_settings = {
        DATA: str(data),
        "log_function": log_request,
        "headers": {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin", "Server": "edgeprof"},
        "xsrf_cookie_kwargs": {"path": "/", "samesite": "Lax"},
    }
    config.IdentityProvider.token = token
    config.IdentityProvider.cookie_options = {"samesite": "Lax"}
    config.KernelManager.shutdown_wait_time = 1.0
    voila = config.VoilaConfiguration
    voila.file_allowlist = []
    voila.allow_template_override = voila.allow_theme_override = "NO"
    if everything:
        config.LabApp.news_url = None
        config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
    else:
        server.kernel_manager_class = kernels.ExplorerKernels
        if kernels.ExplorerKernels.has_encryption():
            config.MappingKernelManager.transport_encryption = "auto"
        pages = config.MappingKernelManager
        pages.allowed_message_types = kernels.MESSAGES
        pages.allow_tracebacks = False
        pages.cull_idle_timeout, pages.cull_interval, pages.cull_connected = IDLE_SECONDS, 60, True
    return config


def serve(config: Config, *, everything: bool, temporary: Path, started: Callable[[int], Any]) -> None:
    """Serve until a signal comes.

    Parameters
    ----------
    config
        Of :func:`configuration`.
    everything
        With JupyterLab: all handlers can be reached.
    temporary
        The folder to remove, should the end have to be a hard one.
    started
        Called with the port once requests are answered.
    """
    server = Server(config=config)
    server.everything, server.temporary = everything, temporary
    if not everything:
        server.default_services = ("kernels",)  # type: ignore[assignment]
    server.initialize(argv=[])
    for logger in list(logging.root.manager.loggerDict.values()):  # an extension may have one with a format of its own
        for handler in getattr(logger, "handlers", ()):
            handler.setFormatter(Formatter(server.identity_provider_token))
    server.io_loop.add_callback(lambda: started(server.port))
    server.start()
