"""Who made a push: known answers, and every way to be wrong."""

from __future__ import annotations

import pytest

from worker.websub.signature import Signature

SECRET = "Jefe"
BODY = b"what do ya want for nothing?"
# RFC 2202 and RFC 4231, test case 2
KNOWN = {
    "sha1": "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    "sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    "sha384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    "sha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
}


@pytest.mark.parametrize("method", KNOWN)
def test_a_signature_of_the_rfcs_holds_however_the_body_comes(method: str) -> None:
    for parts in ([BODY], [BODY[:1], BODY[1:7], b"", BODY[7:]]):
        for said in (f"{method}={KNOWN[method]}", f" {method.upper()}={KNOWN[method].upper()} "):
            signature = Signature(said, SECRET)
            for part in parts:
                signature.update(part)
            assert signature.trouble is None


@pytest.mark.parametrize(
    ("header", "trouble"),
    [
        (None, "unsigned"),
        ("", "unsigned"),
        ("sha256", "bad-signature"),
        ("sha256=", "bad-signature"),
        ("=" + KNOWN["sha256"], "bad-signature"),
        (KNOWN["sha256"], "bad-signature"),
        ("sha1=" + KNOWN["sha256"], "bad-signature"),
        ("sha256=" + KNOWN["sha1"], "bad-signature"),
        ("sha256=" + KNOWN["sha256"][:-1], "bad-signature"),
        ("sha256=" + KNOWN["sha256"] + "0", "bad-signature"),
        ("sha256=" + "z" * 64, "bad-signature"),
        (f"sha256={KNOWN['sha256']}, sha256={KNOWN['sha256']}", "bad-signature"),
        ("sha256=" + "0" * 100_000, "bad-signature"),
        ("md5=750c783e6ab0b503eaa86e310a5db738", "unknown-method"),
        ("sha224=" + "0" * 56, "unknown-method"),
        ("sha3-256=" + "0" * 64, "unknown-method"),
        ("shake256=00", "unknown-method"),
    ],
)
def test_whatever_is_wrong_has_its_name(header: str | None, trouble: str) -> None:
    signature = Signature(header, SECRET)
    signature.update(BODY)
    assert signature.trouble == trouble


@pytest.mark.parametrize(("secret", "body"), [("Jeff", BODY), (SECRET, BODY[:-1]), (SECRET, b"")])
def test_a_signature_holds_for_one_secret_and_one_body(secret: str, body: bytes) -> None:
    signature = Signature(f"sha256={KNOWN['sha256']}", secret)
    signature.update(body)
    assert signature.trouble == "bad-signature"
