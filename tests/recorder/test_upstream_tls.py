"""A provider behind TLS: whom the recorder trusts, and that a login goes to nobody else."""

import datetime as dt
import ipaddress
import json
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.recorder_world import Client, Provider, Recorder, chunked, events

ASKED = {"model": "gpt-5.5", "stream": True, "input": [{"type": "message", "role": "user", "content": "hi"}]}


class Authority:
    """Signs certificates; `file` is what those who trust it name."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a company")])
        ours = x509.BasicConstraints(ca=True, path_length=None)
        self.file = folder / "authority.pem"
        self.file.write_bytes(_pem(self._certificate(self._name, self._key.public_key(), ours)))

    def context(self, host: str) -> ssl.SSLContext:
        """What a server needs to be `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a provider")])
        is_address = host[0].isdigit()
        named = x509.IPAddress(ipaddress.ip_address(host)) if is_address else x509.DNSName(host)
        certificate = self._certificate(name, key.public_key(), x509.SubjectAlternativeName([named]))
        none, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
        file = self._folder / "server.pem"
        file.write_bytes(_pem(certificate) + key.private_bytes(serialization.Encoding.PEM, form, none))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("host", "trusted", "said"),
    [
        ("127.0.0.1", True, None),
        ("127.0.0.1", False, "its certificate is by nobody who is trusted: .*; SSL_CERT_FILE names"),
        ("other.example.com", True, "it has the certificate of another host: .*127.0.0.1"),
    ],
)
def test_a_login_goes_over_tls_to_the_host_that_was_named_and_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, said: str | None, *, trusted: bool
) -> None:
    authority, other = Authority(tmp_path), Authority(_folder(tmp_path / "other"))
    monkeypatch.setenv("SSL_CERT_FILE", str((authority if trusted else other).file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with (
        Provider(lambda _: chunked(events()), authority.context(host)) as provider,
        Recorder(provider.url, tmp_path) as recorder,
        Client(recorder.port) as client,
    ):
        status, _, body = client.ask(ASKED, authorization="Bearer sk-live").answer()
        ends, url = [one.end for one in recorder.exchanges(1)], provider.url
    if said is None:
        assert (status, body, ends) == (200, b"".join(events()), ["completed"])
        assert provider.seen[0].header("authorization") == "Bearer sk-live"
    else:
        assert (status, provider.seen, ends) == (502, [], ["upstream_cut"])
        message = json.loads(body)["error"]["message"]
        assert f"cannot reach {url}: " in message
        assert re.search(said, message), message


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
