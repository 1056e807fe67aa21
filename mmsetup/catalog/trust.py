"""The certificates that are trusted, as the environment has it, and the story of one that is not."""

from __future__ import annotations

import os
import ssl
import threading
import time
from datetime import datetime, timezone
from functools import lru_cache

from mmsetup.catalog.addresses import origin
from mmsetup.catalog.certificates import peer_validity
from mmsetup.catalog.proxies import Proxy

__all__ = ["tls", "untrusted"]

_BUNDLES = ("SSL_CERT_FILE", "PIP_CERT")
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
_SHORTEST = 0.05
_LOADING = threading.Lock()


def tls() -> ssl.SSLContext:
    """Give the context that trusts what ``SSL_CERT_FILE``, ``PIP_CERT`` or the system say.

    Raises:
        ValueError: a variable names a file that is no bundle of certificates.
    """
    variable = next((name for name in _BUNDLES if os.environ.get(name)), "")
    try:
        with _LOADING:
            return _trusting(os.environ[variable] if variable else None)
    except OSError as error:
        raise ValueError(
            f"{variable or 'the system'} names no bundle of certificates: {error.strerror}"
        ) from error


@lru_cache(maxsize=4)
def _trusting(bundle: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=bundle)


def untrusted(error: ssl.SSLCertVerificationError, target: str, proxy: Proxy | None, deadline: float) -> str:
    """Say why a certificate is not trusted, with its dates where they come before ``deadline``."""
    told = f"its certificate is not trusted: {error.verify_message}"
    # Of the time left not all: a server that holds out must not keep what is known from being said.
    left = (deadline - time.monotonic()) / 3
    _, host, port = origin(target)
    through = (proxy.host, proxy.port, proxy.authorization) if proxy else None
    dates = peer_validity(host, port, seconds=left, proxy=through) if left > _SHORTEST else None
    if dates is not None:
        told += f" (valid {dates[0]:%Y-%m-%d} to {dates[1]:%Y-%m-%d})"
    if error.verify_code not in {_NOT_YET_VALID, _EXPIRED}:
        return f"{told} (SSL_CERT_FILE names a bundle)"
    now = datetime.now(timezone.utc)
    if dates is not None and dates[0] <= now <= dates[1]:
        return f"{told}: not this one, but one that it is signed with"
    return f"{told}; here it is {now:%Y-%m-%d}"
