"""The documents say what the code has: each name in them is real, and each name of the interface is in them.

What is compared comes from the code itself, so that adding a setting without a line of documentation goes red here.
Whether a sentence is true, only its reader can tell.
"""

import ast
import fnmatch
import inspect
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from starlette.routing import Route

from audit_pipelines import cli
from audit_pipelines.db.database import LOGIN_ROLES, Database
from audit_pipelines.importers import FORMATS
from audit_pipelines.installation import assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.catalog import COMMENTS
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS
from audit_pipelines.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "audit_pipelines"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MIGRATIONS = "\n".join(path.read_text() for path in sorted((ROOT / "migrations").glob("[0-9]*.sql")))
SCHEMA = MIGRATIONS + (PACKAGE / "db" / "migrate.py").read_text()
# These own paths in tests and examples and live on no machine.
INVENTED_PEOPLE = {"maria"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def first_cells(text: str) -> set[str]:
    """Return what stands in backticks in the first column of the tables of a document."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def sections(text: str) -> dict[str, str]:
    """Return the text under each heading of the third level that is one name in backticks."""
    parts = re.split(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)
    return {heading.strip("`"): body for heading, body in zip(parts[1::2], parts[2::2], strict=True) if "`" in heading}


def code_of(text: str) -> str:
    """Return what a document shows as code, blocks and spans alike."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *spans]).replace("\\\n", " ")


def environment_text(value: object) -> str:
    """Return a setting's value as somebody writes it into the environment."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def commands() -> dict[str, typer.core.TyperCommand]:
    top = typing.cast("typing.Any", typer.main.get_command(cli.app))
    found = {}
    for name, command in top.commands.items():
        for inner, leaf in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = leaf
    return found


def project_files() -> Iterator[Path]:
    """Yield every file that belongs to the project: all but what `.gitignore` names, and git's own."""
    ignored = [".git", *(line.rstrip("/") for line in read(".gitignore").splitlines() if line)]

    def is_ours(name: str) -> bool:
        return not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

    for folder, folders, files in os.walk(ROOT):
        folders[:] = filter(is_ours, folders)
        yield from (Path(folder) / name for name in files if is_ours(name))


# Settings


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    field = Settings.model_fields[name]
    default = f"`{environment_text(field.default)}`" if field.default not in {None, ()} else "–"
    expected = f"| `{name.upper()}` | {default} | {field.description}"
    assert expected in read("docs/configuration.md")


def test_no_other_setting_is_documented() -> None:
    assert first_cells(read("docs/configuration.md")) == {name.upper() for name in Settings.model_fields}


def test_documented_choices_are_those_accepted() -> None:
    text = read("docs/configuration.md")
    for name, field in Settings.model_fields.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name.upper()}` "))
        literal = next(
            (part for part in (field.annotation, *typing.get_args(field.annotation)) if _is_literal(part)), None
        )
        for choice in typing.get_args(literal):
            assert f"`{environment_text(choice)}`" in line


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.default is not None])
def test_a_documented_default_may_be_set(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    default = Settings.model_fields[name].default
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name.upper(), environment_text(default))
    assert getattr(load_settings(), name) == default


def _is_literal(annotation: object) -> bool:
    return typing.get_origin(annotation) is typing.Literal


# Commands


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert sections(read("docs/commands.md")).keys() == commands().keys()


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str) -> None:
    section = sections(read("docs/commands.md"))[name]
    for parameter in commands()[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert f"`{option}`" in section or f"{option} " in section


@pytest.mark.parametrize("name", commands())
def test_every_exit_status_is_documented(name: str) -> None:
    told = re.search(r"^Exit status: (.+)$", sections(read("docs/commands.md"))[name], re.MULTILINE)
    assert told, f"`{name}` has no line that begins with `Exit status:`"
    documented = {int(number) for number in re.findall(r"(?:^|, )(\d) ", told[1])}
    written, may_be_others = exit_statuses(typing.cast("typing.Any", commands()[name].callback))
    assert written <= documented
    if not may_be_others:
        assert documented <= written | {cli.INTACT, cli.UNCHECKED}


def exit_statuses(function: typing.Any) -> tuple[set[int], bool]:
    """Return the statuses a command exits with in so many words, and whether it hands on those of another function."""
    tree = ast.parse(inspect.getsource(inspect.unwrap(function)))
    arguments = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.exit" and node.args
    ]
    parts = [part for argument in arguments for part in ast.walk(argument)]
    named = {getattr(cli, part.id, None) for part in parts if isinstance(part, ast.Name)}
    numbers = {part.value for part in parts if isinstance(part, ast.Constant)} | named
    return {number for number in numbers if type(number) is int}, any(isinstance(part, ast.Call) for part in parts)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(path: Path) -> None:
    known = commands()
    for line in code_of(path.read_text()).splitlines():
        for words in re.findall(r"(?<![\w@.-])audit-pipelines((?: [a-z][a-z-]*){1,2})", line):
            name = next((name for name in (words.strip(), words.split()[0]) if name in known), None)
            assert name, f"{path.name} names `audit-pipelines{words}`, which is no command"
            given = re.findall(r"(?<=\s)--?[a-z][a-z-]*", line.partition("audit-pipelines")[2])
            options = {option for parameter in known[name].params for option in parameter.opts}
            assert set(given) <= options | {"--help"}, f"{path.name}: {line.strip()}"


def test_make_targets_are_documented_and_documented_ones_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    told = {name for path in DOCUMENTS for name in re.findall(r"\bmake ([a-z][a-z-]*)", code_of(path.read_text()))}
    assert told == targets


# HTTP


def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, audit_home=tmp_path, database_url=None)
    app = create_app(assemble(settings, open_keyring(settings), Database(settings, None)))
    text = re.sub(r"\{\w+(:\w+)?\}", "{}", read("docs/http_api.md"))
    for route in app.routes:
        assert isinstance(route, Route)
        assert re.search(re.escape(re.sub(r"\{\w+(:\w+)?\}", "{}", route.path)) + r"(?![\w/{])", text), route.path


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_every_permission_is_documented(permission: str) -> None:
    for document in ("docs/http_api.md", "docs/commands.md", "SECURITY.md"):
        assert f"`{permission}`" in read(document)


# Database


def test_every_table_view_function_and_role_is_documented_and_no_other_is() -> None:
    made = set(re.findall(r"^\s*create (?:table|view|function)(?: if not exists)? (\w+)", SCHEMA, re.MULTILINE))
    views = {*COMMENTS, *re.findall(r"^create view (\w+)", read("sql/catalog/views.sql"), re.MULTILINE)}
    roles = {*LOGIN_ROLES, "audit_owner"}
    assert "audit_logs" in made
    assert first_cells(read("docs/database.md")) == made | roles | views


def test_append_only_tables_are_those_with_the_trigger() -> None:
    triggered = set(re.findall(r"create trigger append_only before update or delete on (\w+)", MIGRATIONS))
    rows = re.findall(r"^\| `(\w+)` \|(.+)$", read("docs/database.md"), re.MULTILINE)
    assert {name for name, rest in rows if "Append-only" in rest} == triggered


# Formats


@pytest.mark.parametrize("name", FORMATS)
def test_every_import_format_is_documented(name: str) -> None:
    assert re.search(rf"^## `{name}`", read("docs/importers.md"), re.MULTILINE)
    assert f"`{name}`" in sections(read("docs/commands.md"))["import"]


# The lineage graph


def test_everything_that_dagster_shows_is_documented() -> None:
    from audit_pipelines.definitions import defs

    repository = defs.get_repository_def()
    graph = repository.asset_graph
    names = {key.path[-1] for key in graph.get_all_asset_keys()}
    names |= {key.name for key in graph.asset_check_keys}
    names |= {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    names |= {schedule.name for schedule in repository.schedule_defs}
    names |= {sensor.name for sensor in repository.sensor_defs}
    told = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert len(names) > 1
    assert {name for name in names if f"`{name}`" not in told} == set()


# Files


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{path.name} links to {target}"


def anchors(text: str) -> set[str]:
    """Return the fragments that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_source_files_and_what_is_said_to_be_in_them_exist(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"`([\w/]+/\w+\.(?:py|sql))`", text):
        assert source(name).exists(), f"{path.name} names {name}"
    for function, name in re.findall(r"`(?:\w+\.)?(\w+)`[^`\n(]{0,20}\(`(?!tests/)([\w/]+\.(?:py|sql))`", text):
        content = source(name).read_text()
        assert re.search(rf"\b(?:def|class|create (?:or replace )?function) {function}\b", content), (
            f"{path.name}: {function} in {name}"
        )


def source(name: str) -> Path:
    return next((place / name for place in (PACKAGE, ROOT) if (place / name).exists()), ROOT / name)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.name)
def test_decisions_are_numbered_and_dated(path: Path) -> None:
    number = int(path.name[:4])
    assert re.match(rf"# {number}\. .+\n\n\d{{4}}-\d\d-\d\d · (accepted|superseded by \d+)\n", path.read_text())


def test_no_file_names_a_package_index_or_somebodys_home() -> None:
    index = re.compile(
        r"pypi[.]org|pythonhosted[.]org|npmjs[.]org|crates[.]io|huggingface[.]co"
        r"|^-(?:i|f|-index-url|-extra-index-url|-find-links)\b",
        re.MULTILINE,
    )
    home = re.compile(r"(?<![\w.}])/(?:root|(?:home|Users)/(?P<owner>\w+))/")
    found = []
    for path in project_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in index.finditer(text)]
        owners = [match for match in home.finditer(text) if match["owner"] not in INVENTED_PEOPLE]
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in owners]
        if str(ROOT) + os.sep in text:
            found.append(f"{path.relative_to(ROOT)}: the folder of this checkout")
    assert found == []


# Questions of analysts


def test_every_question_of_analysts_is_shown_as_it_is_and_no_other() -> None:
    shown = re.findall(r"^### `(\w+)`\n\n```sql\n(.*?)```$", read("docs/analysts.md"), re.MULTILINE | re.DOTALL)
    assert dict(shown) == {path.stem: path.read_text() for path in (ROOT / "sql" / "analyst").glob("*.sql")}
    for name, text in shown:
        assert re.match(r"-- .+\?\n-- Reading: ", text), name


def test_every_view_of_the_catalog_is_told_to_analysts() -> None:
    views = {*COMMENTS, *re.findall(r"^create view (\w+)", read("sql/catalog/views.sql"), re.MULTILINE)}
    assert {name for name in views if f"`{name}`" not in read("docs/analysts.md")} == set()
