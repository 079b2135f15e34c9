"""Whose certificates a client takes."""

import ssl

import httpx


def trusted(url: str) -> ssl.SSLContext:
    """What a server at this address has to prove its identity with: a certificate of one of the known authorities.

    To load them takes as long as several requests. An address without TLS needs none, and so trusts none.
    """
    if url.lower().startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context(trust_env=False)
