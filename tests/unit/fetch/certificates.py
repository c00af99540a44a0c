"""Certificates of a test's own making: an authority, what it signs, and what nobody should accept."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """``folder`` holds what is issued, and ``ca.pem``, the authority's own certificate."""

    folder: Path
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def founded(cls, folder: Path, name: str = "Test CA") -> Authority:
        key = generate_private_key(SECP256R1())
        made = cls(folder=folder, key=key, certificate=_signed(_name(name), key, _name(name), key, is_ca=True))
        (folder / "ca.pem").write_bytes(made.certificate.public_bytes(Encoding.PEM))
        return made

    def issue(self, host: str, *, ends_in: timedelta = timedelta(days=1)) -> Path:
        """A certificate for a host, with its key in the same file."""
        key = generate_private_key(SECP256R1())
        issued = _signed(_name(host), key, self.certificate.subject, self.key, host=host, ends_in=ends_in)
        return _written(self.folder / f"{host}{ends_in.days}.pem", issued, key)

    def issue_with_sha1(self, host: str) -> Path:
        """The same, signed as nobody has for years; by openssl, since Python's library refuses to."""
        openssl = shutil.which("openssl")
        assert openssl is not None
        (self.folder / "ca.key").write_bytes(_pem(self.key))
        (self.folder / "san").write_text(f"subjectAltName=DNS:{host}\n")
        request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", "old.key"]
        signing = ["x509", "-req", "-in", "old.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-sha1"]
        for command in ([*request, "-out", "old.csr"], [*signing, "-days", "1", "-extfile", "san", "-out", "old.pem"]):
            subprocess.run([openssl, *command], cwd=self.folder, check=True, capture_output=True)
        both = self.folder / "sha1.pem"
        both.write_text((self.folder / "old.pem").read_text() + (self.folder / "old.key").read_text())
        return both


def self_signed(folder: Path, host: str) -> Path:
    key = generate_private_key(SECP256R1())
    return _written(folder / "self.pem", _signed(_name(host), key, _name(host), key, host=host), key)


def server_context(certificate: Path, *, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a server speaks; ``newest``: one that was never updated, and takes any cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    if newest is not None:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    context.load_cert_chain(certificate)
    return context


def _signed(
    subject: x509.Name,
    key: EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: EllipticCurvePrivateKey,
    *,
    is_ca: bool = False,
    host: str | None = None,
    ends_in: timedelta = timedelta(days=1),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    if host is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(issuer_key, SHA256())


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _written(path: Path, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> Path:
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + _pem(key))
    return path
