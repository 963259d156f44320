"""The generated files are what the models say, and what people and tools expect of them."""

from pathlib import Path

import pytest
import yaml

from standfast.api import crdgen
from standfast.api.kinds import KINDS, Kind


def test_generated_files_are_what_the_models_say() -> None:
    assert crdgen.stale(crdgen.REPOSITORY) == [], "run python -m standfast.api.crdgen"


def test_no_generated_file_belongs_to_a_kind_that_is_gone() -> None:
    there = {
        path.relative_to(crdgen.REPOSITORY)
        for folder in ("crds", "charts/standfast-crds/templates")
        for path in (crdgen.REPOSITORY / folder).glob("*.yaml")
    }

    assert there == set(crdgen.files())


def test_a_stale_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main(["--root", str(tmp_path)]) == 0
    assert crdgen.main(["--root", str(tmp_path), "--check"]) == 0
    (tmp_path / "crds/witnesses.yaml").write_text("edited by hand\n")

    assert crdgen.main(["--root", str(tmp_path), "--check"]) == 1
    assert "crds/witnesses.yaml is not what the models say" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_object_nobody_has_looked_at_is_not_healthy(kind: Kind) -> None:
    schema = crdgen.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert schema["properties"]["status"]["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_status_is_a_subresource_and_scale_is_not(kind: Kind) -> None:
    assert crdgen.crd(kind)["spec"]["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_yaml_is_the_document(kind: Kind) -> None:
    document = crdgen.crd(kind)

    assert yaml.safe_load(crdgen.to_yaml(document)) == document


def test_the_chart_keeps_kinds_when_it_is_uninstalled() -> None:
    for path, text in crdgen.files().items():
        if path.parts[0] == "charts":
            kept = yaml.safe_load(text)["metadata"]["annotations"]
            assert kept == {"helm.sh/resource-policy": "keep"}
