"""No secret leaves with a support bundle."""

import json

import pytest

from standfast.cli.redaction import REDACTED, redacted, redacted_text

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIN0tq\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"


def test_data_of_secrets_goes_and_names_stay() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {"name": "vcenter"},
        "data": {"username": "dXNlcg==", "anything": "aHVudGVyMg=="},
        "stringData": {"x": "hunter2"},
    }
    shown = redacted({"items": [secret]})
    assert shown["items"][0]["data"] == {"username": REDACTED, "anything": REDACTED}
    assert shown["items"][0]["stringData"] == {"x": REDACTED}
    assert shown["items"][0]["metadata"]["name"] == "vcenter"
    ref = {"vsphere": {"credentialsSecretRef": {"name": "vcenter"}}}
    assert redacted(ref) == ref, "the name of a Secret is no secret"


@pytest.mark.parametrize(
    "held",
    [
        {"password": "hunter2"},
        {"spec": {"containers": [{"env": [{"name": "PG_PASSWORD", "value": "hunter2"}]}]}},
        {"message": "cannot log in with password=hunter2 at vcenter"},
        {"message": 'config {"token": "hunter2"}'},
        {"url": "https://admin:hunter2@vcenter/sdk"},
        {"header": "Authorization: Bearer hunter2hunter2"},
        {"metadata": {"annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "hunter2"
        }}},
        {"apiKey": "hunter2"},
    ],
)  # fmt: skip
def test_what_is_secret_by_name_or_shape_goes(held: dict[str, object]) -> None:
    assert "hunter2" not in json.dumps(redacted(held))


@pytest.mark.parametrize("secret", [PEM, PEM[:40], JWT])
def test_keys_and_tokens_go_wherever_they_stand(secret: str) -> None:
    for shown in (redacted_text(f"before {secret} after"), redacted({"x": [secret]})["x"][0]):
        assert "MC4CAQAw" not in shown
        assert "eyJhbGci" not in shown
        assert REDACTED in shown


def test_what_explains_stays() -> None:
    said = "vm-a serves in term 3; certificate of vm-b ends 2027-01-01; Standfast-Token refused"
    assert redacted_text(said) == said
    assert redacted({"term": 3, "ok": True, "none": None}) == {
        "term": 3,
        "ok": True,
        "none": None,
    }
