"""The proxy that the environment names for an address, told without its password."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from mmsetup.catalog.addresses import bare, credentials

__all__ = ["Proxy", "proxy_for"]

_PLAIN_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; ``variable`` is the environment variable that names it, ``authorization`` what it is sent."""

    host: str
    port: int
    authorization: str
    variable: str

    @property
    def name(self) -> str:
        """Give host and port, which is all that may be shown."""
        return f"{self.host}:{self.port}"

    @property
    def wants_password(self) -> str:
        """Say that it does, and how to give it one."""
        if self.authorization:
            return f"the proxy {self.name} does not take the user name and password in {self.variable}"
        return (
            f"the proxy {self.name} wants a user name and password "
            f"({self.variable}=http://USER:PASSWORD@{self.name})"
        )


def proxy_for(url: str) -> Proxy | None:
    """Give the proxy through which ``urllib`` asks for an address; ``None`` where it asks directly.

    Raises:
        ValueError: the variable holds no address of a proxy; the words do not hold its value.
    """
    parts = urlsplit(bare(url))
    address = urllib.request.getproxies().get(parts.scheme, "")
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    name = f"{parts.scheme}_proxy"
    variable = name if name in os.environ else name.upper()
    try:
        proxy = urlsplit(address if "//" in address else f"http://{address}")
        host, port = proxy.hostname, proxy.port or _PLAIN_PORT
    except ValueError:
        host, port = None, _PLAIN_PORT
    if not host or proxy.scheme not in {"http", "https"}:
        raise ValueError(f"{variable} holds no address of a proxy ({variable}=http://HOST:PORT)")
    return Proxy(host, port, credentials(proxy.geturl()), variable)
