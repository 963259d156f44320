"""A lab's name and where its files are."""

from pathlib import Path

import pytest

from standfast.errors import UserError
from standfast.lab.paths import LabPaths


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "lab-", "a.b", "toolongname", "../etc"])
def test_a_name_that_would_not_fit_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be called"):
        LabPaths.named(name)


def test_two_labs_share_no_file(tmp_path: Path) -> None:
    one, two = LabPaths.named("a", tmp_path), LabPaths.named("b", tmp_path)
    assert one.kubeconfig != two.kubeconfig
    assert one.root.parent == two.root.parent == tmp_path
