"""Whose certificates are taken: nobody's without an authority, and at an address without TLS none at all."""

import ssl

import pytest

from agentsquad.client.certificates import trusted


@pytest.mark.parametrize("url", ["https://squads.example.com", "HTTPS://[::1]:8000", "squads.example.com", ""])
def test_authorities_are_known_wherever_there_may_be_tls(url: str) -> None:
    found = trusted(url)
    assert found.cert_store_stats()["x509_ca"] > 0
    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "HTTP://squads.example.com"])
def test_without_tls_no_certificate_would_be_taken(url: str) -> None:
    found = trusted(url)
    assert found.cert_store_stats()["x509"] == 0
    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)
