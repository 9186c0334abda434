"""The explorer's kernels: few, short-lived, and deaf to code that is sent to them."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web

__all__ = ["MESSAGES", "MOST", "ExplorerKernels"]

MOST = 16
"""How many pages may be open at a time: each has a kernel, of about 320 MB."""

MESSAGES = ["comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request"]
"""What a page may send to its kernel: values of its controls, and nothing that executes."""


class ExplorerKernels(AsyncMappingKernelManager):
    """Kernels for pages, up to :data:`MOST`."""

    _starting = 0

    @classmethod
    def has_encryption(cls) -> bool:
        """Return whether this Jupyter can encrypt what it says to its kernels."""
        return "transport_encryption" in cls.class_trait_names()

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Start a kernel.

        Raises
        ------
        HTTPError
            503: so many are open already.
        """
        if len(self) + self._starting >= MOST:
            raise web.HTTPError(503, reason="Too many explorers are open: close one")
        if env := kwargs.get("env"):
            # The page's address is in it, and whatever a visitor put there.
            token = str(self.config.IdentityProvider.token)
            kwargs["env"] = {name: value.replace(token, "") for name, value in env.items()}
        self._starting += 1
        try:
            return str(await super().start_kernel(**kwargs))
        finally:
            self._starting -= 1
