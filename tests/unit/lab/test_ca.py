"""A certificate authority in a directory: stable when asked twice, renewed when names change."""

import stat
from pathlib import Path

from cryptography import x509

from standfast.lab.ca import Authority, Subject, signing_key

SERVER = Subject("server", hosts=("localhost", "127.0.0.1"))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_is_signed_once(tmp_path: Path) -> None:
    first = Authority(tmp_path, "ca").issue("server", SERVER).certificate.read_bytes()
    again = Authority(tmp_path, "ca").issue("server", SERVER).certificate.read_bytes()
    assert first == again


def test_other_names_are_another_certificate_of_the_same_authority(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    first = certificate(ca.issue("server", SERVER).certificate)
    second = certificate(ca.issue("server", Subject("server", hosts=("a.lab",))).certificate)
    assert first.serial_number != second.serial_number
    second.verify_directly_issued_by(certificate(ca.pair.certificate))


def test_keys_are_their_owners_only(tmp_path: Path) -> None:
    pair = Authority(tmp_path, "ca").issue("server", SERVER)
    for key in (pair.key, tmp_path / "ca.key", signing_key(tmp_path / "sa.key")):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_only_who_has_hosts_may_serve(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    admin = certificate(ca.issue("admin", Subject("me", groups=("g",))).certificate)
    uses = admin.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [use.dotted_string for use in uses] == ["1.3.6.1.5.5.7.3.2"]
    assert admin.subject.rfc4514_string() == "CN=me,O=g"


def test_a_signing_key_is_made_once(tmp_path: Path) -> None:
    first = signing_key(tmp_path / "k").read_bytes()
    assert signing_key(tmp_path / "k").read_bytes() == first
