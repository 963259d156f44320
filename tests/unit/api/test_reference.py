"""The reference is what models and reasons say, and it leaves nothing out."""

from pathlib import Path

import pytest

from standfast.api import reference
from standfast.api.crdgen import REPOSITORY
from standfast.api.kinds import KINDS
from standfast.core.reasons import Reason


def test_the_reference_is_what_the_models_say() -> None:
    assert reference.stale(REPOSITORY) == [], "run python -m standfast.api.reference"


def test_every_kind_and_every_reason_is_in_it() -> None:
    kinds, reasons = reference.api(), reference.reasons()

    assert all(f"## {kind.name}\n" in kinds for kind in KINDS)
    assert all(f"| `{reason.value}` |" in reasons for reason in Reason)


def test_a_field_shows_its_default_its_limits_and_whether_it_must_be_given() -> None:
    rows = reference.api().splitlines()

    restarts = next(row for row in rows if row.startswith("| onFailure.restarts "))
    assert "| integer | `3` | at least 0, at most 100 |" in restarts
    assert any(row.startswith("| **clusterRef** | object |") for row in rows)
    assert any("`Fast` \\| `Normal` \\| `Tolerant`" in row for row in rows)


def test_every_row_has_as_many_cells_as_its_head() -> None:
    for text, cells in ((reference.api(), 5), (reference.reasons(), 3)):
        rows = [row for row in text.splitlines() if row.startswith("|")]
        assert {row.replace("\\|", "").count("|") for row in rows} == {cells + 1}


def test_a_stale_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--root", str(tmp_path)]) == 0
    assert reference.main(["--root", str(tmp_path), "--check"]) == 0
    (tmp_path / "docs/reference/reasons.md").write_text("edited by hand\n")

    assert reference.main(["--root", str(tmp_path), "--check"]) == 1
    assert "docs/reference/reasons.md is not what the models say" in capsys.readouterr().out
