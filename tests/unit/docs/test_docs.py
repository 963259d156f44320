"""What the documents say can be typed, and what they link to is there.

Commands of kubectl standfast, standfast-lab and standfast-agent are parsed by the commands
themselves; of kubectl, kinds and short names are checked; of make, targets. Every link leads to a
file, every anchor to a heading.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from standfast.agent.main import main as agent_main
from standfast.api.conditions import ConditionType
from standfast.api.kinds import KINDS
from standfast.cli.main import commands
from standfast.core.reasons import Reason
from standfast.lab.main import main as lab_main

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "tests/*/README.md")
    for page in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
KUBECTL = {
    "apply", "annotate", "auth", "create", "delete", "describe", "edit", "explain", "get", "label",
    "logs", "patch", "rollout", "standfast", "wait", "config", "cluster-info", "kustomize", "krew",
}  # fmt: skip
GROUPS = {"kubectl standfast": commands, "standfast-lab": lab_main, "standfast-agent": agent_main}


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def typed(page: Path) -> Iterator[list[str]]:
    """Words of each command line in a block that people copy."""
    for language, block in FENCE.findall(page.read_text()):
        if language not in {"console", "sh", "bash", "shell"}:
            continue
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"\s[|;]\s|\s&&\s|;\s", line.removeprefix("$ ")):
                said = part.partition(" #")[0].partition(" > ")[0].partition(" <<")[0].strip()
                try:
                    words = shlex.split(said)
                except ValueError:
                    continue
                if words:
                    yield words


def of(page: Path, program: str) -> Iterator[list[str]]:
    parts = program.split()
    for words in typed(page):
        named = [Path(words[0]).name, *words[1:]]
        if named[: len(parts)] == parts:
            yield named[len(parts) :]


def parse(group: object, words: list[str]) -> None:
    """Let click read it as it would, and do nothing."""
    if not isinstance(group, click.Group) or not words or words[0].startswith("-"):
        return
    command = group.commands.get(words[0])
    assert command is not None, f"there is no command {words[0]}"
    if {"--help", "-h"} & set(words):
        return
    rest = [word for word in words[1:] if word != "..."]
    if isinstance(command, click.Group):
        parse(command, rest)
        return
    paths = [p.type for p in command.params if isinstance(p.type, click.Path)]
    wanted = [path.exists for path in paths]
    for path in paths:
        path.exists = False
    try:
        # The names of the help option are remembered by the command, so they are those it has.
        context = click.Context(command, info_name=words[0], help_option_names=["-h", "--help"])
        command.parse_args(context, rest)
    finally:
        for path, exists in zip(paths, wanted, strict=True):
            path.exists = exists


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_our_commands_are_read_by_themselves(page: Path) -> None:
    for program, group in GROUPS.items():
        for words in of(page, program):
            try:
                parse(group, list(words))
            except click.ClickException as error:
                pytest.fail(f"{program} {' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_kubectl_is_given_kinds_that_exist(page: Path) -> None:
    ours = {name for kind in KINDS for name in (*kind.short, kind.plural, kind.name.lower())}
    theirs = {
        "secret", "configmap", "crd", "deployment", "pods", "pod", "namespace", "events",
        "secrets", "deployments", "clusterrole", "rolebinding", "all", "-f", "can-i", "whoami",
        "status", "generic", "statefulset", "get-contexts",
    }  # fmt: skip
    for words in of(page, "kubectl"):
        while words and words[0] in {"-n", "--namespace"}:
            words = words[2:]  # noqa: PLW2901
        assert words[0] in KUBECTL, words
        if words[0] in {"get", "describe", "delete", "wait", "annotate", "patch", "edit"}:
            named = next((w for w in words[1:] if not w.startswith("-")), "")
            for kind in named.partition("/")[0].split(","):
                known = kind.partition(".")[0]
                assert not named or known in ours | theirs, f"{known} in: kubectl {words}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_has_the_targets_that_are_named(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for words in of(page, "make"):
        for word in words:
            assert "=" in word or word.startswith("-") or word in targets, words


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    for found in LINK.findall(text):
        target = found[0] or found[1]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_the_runbook_names_conditions_and_reasons_that_exist() -> None:
    text = (ROOT / "docs/howto/runbook.md").read_text()
    conditions = {kind.value for kind in ConditionType}
    for name in re.findall(r"`(\w+)=(?:True|False|Unknown)`", text):
        assert name in conditions
    reasons = {reason.value for reason in Reason}
    for name in re.findall(r"`=?\w*`?, `([A-Z]\w+)`", text):
        assert name in reasons, name


def test_every_condition_is_on_its_page_and_no_other() -> None:
    page = (ROOT / "docs/reference/conditions.md").read_text()
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == {kind.value for kind in ConditionType}


def test_every_page_has_its_place_on_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def files(nav: object) -> Iterator[str]:
        match nav:
            case str():
                yield nav
            case dict():
                for each in nav.values():
                    yield from files(each)
            case list():
                for each in nav:
                    yield from files(each)

    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.glob("**/*.md")}
    placed = list(files(site["nav"]))
    assert len(placed) == len(set(placed))
    assert set(placed) == {page for page in pages if not page.startswith("adr/")}
