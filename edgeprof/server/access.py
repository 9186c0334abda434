"""Who may ask for what: a token for everything but ``/health``, and few addresses beside the explorer's own.

Every request goes through one gate, :func:`guard`, so that no handler of Jupyter's, Voilà's or an extension's can be
reached that was not thought of.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.base.handlers import APIHandler, JupyterHandler, Template404
from tornado import httputil, web
from tornado.escape import url_escape
from tornado.websocket import WebSocketHandler

from edgeprof.server.place import EXPLORER

__all__ = ["SharedToken", "allowed", "guard"]

_KERNEL = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GET = ("GET", "HEAD")
_ALLOWED: Sequence[tuple[str, tuple[str, ...]]] = (
    (r"/", _GET),
    (r"/health", _GET),
    (r"/metrics", _GET),
    (r"/login", ("GET", "POST")),
    (r"/logout", ("GET",)),
    (re.escape(f"/voila/render/{EXPLORER}"), ("GET",)),
    (r"/voila/(static|templates/[^/]+/static|labextensions|api/themes)/.+", _GET),
    (rf"/voila/api/shutdown/{_KERNEL}", ("POST",)),
    (rf"/api/kernels/{_KERNEL}", ("GET",)),
    (rf"/api/kernels/{_KERNEL}/channels", ("GET",)),
)


def allowed(method: str, path: str) -> bool:
    """Return whether there is such an address on a server without JupyterLab."""
    return any(method in methods and re.fullmatch(pattern, path) for pattern, methods in _ALLOWED)


class SharedToken(IdentityProvider):
    """One token for all; compared in constant time, and no excuse for a request that another site's page sends."""

    def _is_token(self, given: str | None) -> bool:
        return hmac.compare_digest((given or "").encode(), self.token.encode())

    async def get_user_token(self, handler: web.RequestHandler) -> User | None:
        """Return a user if the request carries the token, in ``Authorization`` or as ``?token=``."""
        return self.generate_anonymous_user(handler) if self._is_token(self.get_token(handler)) else None

    def process_login_form(self, handler: web.RequestHandler) -> User | None:
        """Return a user if the form carries the token."""
        given = handler.get_body_argument("password", default="")
        return self.generate_anonymous_user(handler) if self._is_token(given) else None

    def should_check_origin(self, handler: web.RequestHandler) -> bool:
        """Check where every request comes from."""
        return True


class _Locked(JupyterHandler):
    """In front of any handler: nothing is answered without the token, and no address keeps it."""

    async def prepare(self, **options: Any) -> None:
        await super().prepare(**options)
        if self.current_user is None:
            raise web.HTTPError(401)
        page = self.request.method == "GET" and not isinstance(self, (APIHandler, WebSocketHandler))
        if page:
            # Asking for it sets the cookie, without which the page's farewell to its kernel is refused. It ends with
            # the browser, the login's does not; and who logs in by the address sees no form that would set it.
            _ = self.xsrf_token
        if page and "token" in self.request.query_arguments:
            # The cookie is set: a token in an address would get into histories, and into the kernel's environment.
            kept = {k: v for k, v in self.request.query_arguments.items() if k != "token"}
            self.redirect(f"/{self.request.path.lstrip('/')}?{urlencode(kept, doseq=True)}".rstrip("?"))

    def get_login_url(self) -> str:
        # Jupyter would redirect to its form; here the refusal is the form.
        raise web.HTTPError(401)

    @property
    def template_namespace(self) -> dict[str, Any]:
        return super().template_namespace | {"token": "", "next": url_escape(self.request.path)}


class _NoMethod(JupyterHandler):
    """What answers a method that tornado does not know: no, whoever asks."""

    def initialize(self, method: str) -> None:
        self.SUPPORTED_METHODS = (method,)  # else tornado says 405 before anybody is asked for a token

    async def prepare(self, **_: Any) -> None:
        self.current_user = None
        raise web.HTTPError(403)


_LOCKED: dict[type[web.RequestHandler], type[web.RequestHandler]] = {}


def _locked(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    if handler not in _LOCKED:
        _LOCKED[handler] = type(handler.__name__, (_Locked, handler), {"__module__": handler.__module__})
    return _LOCKED[handler]


def guard(app: web.Application, open_handler: type[web.RequestHandler], *, everything: bool) -> None:
    """Put a lock on all handlers of an application but one.

    Parameters
    ----------
    app
        The application.
    open_handler
        What answers without a token.
    everything
        Let a visitor who has the token reach all handlers, not only the explorer's.
    """
    dispatch = app.get_handler_delegate

    def through_the_gate(
        request: httputil.HTTPServerRequest, target_class: type[web.RequestHandler],
        target_kwargs: dict[str, Any] | None = None, *args: Any, **more: Any,
    ) -> Any:  # fmt: skip
        if request.method not in web.RequestHandler.SUPPORTED_METHODS:
            return dispatch(request, _NoMethod, {"method": request.method})
        if not everything and not allowed(request.method or "", request.path):
            return dispatch(request, _locked(Template404))
        if target_class is open_handler or (target_class is LoginFormHandler and request.method == "POST"):
            return dispatch(request, target_class, target_kwargs, *args, **more)
        return dispatch(request, _locked(target_class), target_kwargs, *args, **more)

    app.get_handler_delegate = through_the_gate  # type: ignore[method-assign]
