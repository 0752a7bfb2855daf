"""No secret gets out: each is given a value that is known again, every kind of fault is provoked, then all is read.

What is read: what commands and the server print, every file of the home but `keys/`, and every table of both databases,
Dagster's runs and events among them.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from forked_commands import run_command
from pydantic import SecretStr

from audit_pipelines.anchors.opening import open_anchors
from audit_pipelines.db.database import DAGSTER_DATABASE, EMBEDDED_DATABASE
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.definitions import build_definitions
from audit_pipelines.errors import AuditError, ConfigurationError
from audit_pipelines.installation import open_installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger.event import Event
from audit_pipelines.runs import dagster_instance, run_here, run_job
from audit_pipelines.server.app import create_app
from audit_pipelines.settings import Settings, load_settings
from audit_pipelines.supervise import start_service, terminate, wait_until_ready
from tests.certificates import write_certificate
from tests.integration.anchor_servers import serving
from tests.integration.key_server import TENANT, claims, rsa_signed
from tests.pipeline.test_leaks import texts_of_database, texts_of_home
from tests.pipeline.test_up import free_port


def _in_base64(offset: int) -> str:
    """Return what base64 makes of the canary after `offset` bytes, without what its neighbours change."""
    coded = base64.b64encode(b"x" * offset + b"CANARY" + b"xx").decode().lower()
    first = (offset * 8 + 5) // 6
    return coded[first : (offset + 6) * 8 // 6]


NEEDLES = ("canary", b"CANARY".hex(), *map(_in_base64, range(3)))
NOT_A_KEY = "CANARY-which-is-no-base64!"


def key(name: str) -> str:
    """Return 32 bytes that begin with the canary, as keys are given."""
    return base64.b64encode(f"CANARY-{name}".encode().ljust(32, b"-")[:32]).decode()


def leaks(text: str) -> list[str]:
    low = text.lower()
    return [low[max(0, low.index(needle) - 60) :][:160] for needle in NEEDLES if needle in low]


@pytest.fixture(scope="module")
def faulty() -> Iterator[int]:
    """The port of a server that refuses everything and repeats what it got."""

    def refuse(_: str, path: str, headers: dict[str, str], __: bytes) -> tuple[int, dict[str, str], bytes]:
        return 500, {"X-Echo": path}, f"{path} {headers}".encode()

    with serving(refuse) as server:
        yield server.port


@pytest.fixture(scope="module")
def variables(faulty: int, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which every secret setting has a value that is known again, and the home works."""
    url = f"http://127.0.0.1:{faulty}/CANARY-path?token=CANARY-query"
    certificate = tmp_path_factory.mktemp("certificate") / "documents.p12"
    write_certificate(certificate, "CANARY-certificate")
    return {
        "AUDIT_HOME": str(tmp_path_factory.mktemp("secrets") / "home"),
        "AUDIT_PDF_CERTIFICATE": str(certificate),
        "AUDIT_PDF_CERTIFICATE_PASSWORD": "CANARY-certificate",
        "AUDIT_ENCRYPTION_KEY": key("encryption"),
        "AUDIT_FORMER_ENCRYPTION_KEYS": key("former"),
        "AUDIT_SIGNING_KEY": key("signing"),
        "JWT_SECRET": "CANARY-jwt-secret-of-32-bytes-or-more",
        "JWT_ALGORITHMS": "HS256,RS256",
        "JWT_JWKS_URL": url,
        "AUDIT_ANCHORS": f"{url},s3://ledger/notes",
        "AUDIT_ANCHOR_WEBHOOK_SECRET": "CANARY-webhook-secret-of-32-bytes-or-more",
        "AUDIT_OUTGOING_ALLOWED": "127.0.0.1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{faulty}",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "CANARY-aws-secret",
        "AWS_SESSION_TOKEN": "CANARY-aws-session",
        "OPENAI_API_KEY": "CANARY-openai",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{faulty}/v1",
        "OPENAI_MAX_RETRIES": "0",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(faulty),
        "SMTP_USER": "somebody",
        "SMTP_PASSWORD": "CANARY-smtp-password",
        "SMTP_FROM_ADDRESS": "audit@example.org",
        "DAGSTER_POSTGRES_URL": "postgresql+psycopg2://dagster:CANARY-dagster@127.0.0.1:1/dagster",
        "DATABASE_APP_URL": "postgresql://app:CANARY-app@127.0.0.1:1/audit",
    }


@pytest.fixture(scope="module")
def home(variables: Mapping[str, str]) -> Iterator[Path]:
    path = Path(variables["AUDIT_HOME"])
    before = dict(os.environ)
    yield path
    EmbeddedPostgres(path).destroy()
    os.environ.clear()
    os.environ.update(before)


def clean(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with all settings taken from `variables` alone."""
    ours = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in ours} | dict(variables)


def command(variables: Mapping[str, str], *arguments: str) -> str:
    """Run a command and return all that it printed."""
    done = run_command(
        arguments, environment=clean(variables) | {"COLUMNS": "400"}, cwd=Path(variables["AUDIT_HOME"]).parent
    )
    return f"{done.returncode}\n{done.stdout}\n{done.stderr}"


def configured(variables: Mapping[str, str]) -> Settings:
    return Settings(_env_file=None, **{name.lower(): value for name, value in variables.items()})


def test_every_secret_setting_is_in_the_test(variables: Mapping[str, str]) -> None:
    secret = {name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret - {"DATABASE_URL"} <= set(variables)
    canaries = {name for name, value in variables.items() if leaks(value)}
    assert secret - {"DATABASE_URL"} <= canaries
    for field in Settings.model_fields.values():
        if re.search(r"(?i)secret\b|private key|password", field.description or "") and "int" not in str(
            field.annotation
        ):
            assert "SecretStr" in str(field.annotation) or "Where" in field.description, field


def test_the_search_finds_what_it_looks_for() -> None:
    coded = [base64.b64encode(b"x" * offset + b"CANARY!").decode() for offset in range(7)]
    for text in ("xCANARYx", key("a"), b"CANARY".hex(), str(b"CANARY"), *coded):
        assert leaks(text), text
    assert leaks("Nothing to be seen here: 43414e41") == []


# Settings that are malformed, and databases that are not there


BAD_URLS = [
    "postgresql://user:CANARY@127.0.0.1:1/audit",
    "postgresql://user:CANARY@localhost:port/audit",
    "postgresql://user:p@CANARY@127.0.0.1:1/audit",
    "postgresql://user:CANARY%zz@127.0.0.1:1/audit",
    "postgresql://user:CANARY@nowhere.invalid/audit",
    "postgresql://user:CANARY@127.0.0.1:1/audit?CANARY=1",
    "postgresql://user:CANARY[@127.0.0.1/audit",
    "host=127.0.0.1 port=1 user=user password=CANARY",
    "host=127.0.0.1 port=1 password='CANARY",
    "host=127.0.0.1 port=CANARY",
    "host=127.0.0.1 CANARY",
    "CANARY",
    "mysql://user:CANARY@127.0.0.1/audit",
    " postgresql://user:CANARY@127.0.0.1:1/audit",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_database_url_that_leads_nowhere_is_not_shown(variables: Mapping[str, str], url: str) -> None:
    given = dict(variables) | {"DATABASE_URL": url, "DATABASE_TIMEOUT": "2000"}
    for arguments in (("db", "status"), ("verify",)):
        printed = command(given, *arguments)
        assert leaks(printed) == []
        assert printed.startswith("2\n")
        assert "Traceback" not in printed


def test_a_wrong_password_is_not_shown(variables: Mapping[str, str], home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    try:
        right = server.conninfo(user="postgres", password="CANARY-password", dbname="audit")
        for variable in ("DATABASE_URL", "DAGSTER_POSTGRES_URL"):
            printed = command(dict(variables) | {"DATABASE_URL": right, variable: right}, "db", "status")
            assert leaks(printed) == []
            assert "password authentication failed" in printed
    finally:
        server.release()


@pytest.mark.parametrize(
    "malformed",
    [
        {"AUDIT_ENCRYPTION_KEY": NOT_A_KEY},
        {"AUDIT_ENCRYPTION_KEY": base64.b64encode(b"CANARY-of-another-length").decode()},
        {"AUDIT_FORMER_ENCRYPTION_KEYS": NOT_A_KEY},
        {"AUDIT_SIGNING_KEY": NOT_A_KEY},
        {"JWT_SECRET": "CANARY"},
        {"AUDIT_ANCHOR_WEBHOOK_SECRET": "CANARY"},
        {"AUDIT_ANCHORS": "ftp://CANARY.example/CANARY"},
        {"AUDIT_ANCHORS": "https://user:CANARY@hooks.example/"},
        {"AUDIT_ANCHORS": "https://hooks.example:CANARY/"},
        {"JWT_JWKS_URL": "https://user:CANARY@idp.example/"},
        {"JWT_JWKS_URL": "http://idp.example/CANARY"},
        {"JWT_ALGORITHMS": "CANARY"},
        {"AWS_ENDPOINT_URL": "https://user:CANARY@storage.example"},
        {"OPENAI_BASE_URL": "https://user:CANARY@api.example/v1"},
        {"OPENAI_BASE_URL": "http://api.example/CANARY"},
        {"DATABASE_POOL_MAX": "CANARY"},
        {"AUDIT_OUTGOING_ALLOWED": "https://CANARY"},
        {"CORS_ORIGINS": "https://app.example/CANARY"},
        {"AUDIT_STORAGE_URL": "s3://CANARY:CANARY@bucket"},
        {"AUDIT_PDF_CERTIFICATE_PASSWORD": "CANARY-wrong"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_malformed_setting_is_named_and_not_shown(variables: Mapping[str, str], malformed: dict[str, str]) -> None:
    printed = command(dict(variables) | malformed, "checkpoint")
    assert leaks(printed) == []
    assert printed.startswith("2\n")
    assert next(iter(malformed)) in printed


# An installation whose outside world fails


def test_what_fails_outside_is_told_without_secrets(variables: Mapping[str, str], home: Path, tmp_path: Path) -> None:
    with open_installation(configured(variables)) as installation:
        installation.ledger.append(TENANT, [Event(event_type="a.b", entity_type="record", entity_id="1")])
        # Inside, so that the commands join a server that runs.
        printed = [
            command(variables, *arguments)
            for arguments in (
                ("checkpoint",),
                ("anchors",),
                ("verify",),
                ("verify", "--json"),
                ("keys", "list"),
                ("keys", "rotate"),
                ("keys", "rotate-encryption"),
                ("db", "status"),
                ("token", "--tenant", "CANARY", "--subject", "a", "--permission", "audit:read"),
            )
        ]
    assert "expected status 2xx, got 500" in printed[1]
    assert "object storage: Generic, status 500" in printed[1]
    # The last repeats what stood on its own command line.
    assert [leaks(text) for text in printed[:-1]] == [[]] * (len(printed) - 1)


def test_the_server_tells_nothing(variables: Mapping[str, str], home: Path) -> None:
    port, log = free_port(), home / "logs" / "api.log"
    environment = dict.fromkeys(map(str.upper, Settings.model_fields), "") | dict(variables)
    arguments = (sys.executable, "-m", "audit_pipelines", "serve", "--port", str(port))
    process = start_service(arguments, environment, log, cwd=home)
    answers = []
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            for sent in (
                rsa_signed({"alg": "RS256", "kid": "CANARY-kid"}, claims(aud=None), "RS256"),
                rsa_signed({"alg": "HS256", "kid": "CANARY-kid"}, claims(sub="CANARY"), "RS256"),
                "CANARY",
            ):
                headers = {"Authorization": f"Bearer {sent}"}
                answers.append(client.post("/api/audit/events?token=CANARY", headers=headers, content=b"CANARY"))
            answers += [client.get("/api/audit/health"), client.get("/CANARY")]
    finally:
        terminate({"api": process})
    assert [answer.status_code for answer in answers] == [503, 401, 401, 200, 404]
    assert [leaks(f"{answer.text} {answer.headers}") for answer in answers] == [[]] * 5
    assert "key set not fetched host=127.0.0.1: expected status 200, got 500" in log.read_text()
    assert leaks(log.read_text()) == []


def test_what_dagster_keeps_of_failures_holds_nothing(
    variables: Mapping[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(variables)
    with open_installation(settings) as installation:
        # Anchors that fail are recorded; one that is configured against the rules fails the run.
        run_here(installation, "checkpoint_job")
        with pytest.raises(AuditError, match="status 500") as refused:
            run_here(installation, "embedding_generation_job")
        assert leaks(str(refused.value)) == []
        seal = installation.seal
        monkeypatch.setattr(type(installation), "anchor_due", _fail_with(settings))
        with pytest.raises(AuditError) as failed:
            run_here(installation, "checkpoint_job")
        assert leaks(str(failed.value)) == []
        assert seal
        with dagster_instance(installation) as instance:
            for url in BAD_URLS[:10]:
                for name, value in (variables | {"DATABASE_URL": url, "DATABASE_TIMEOUT": "2000"}).items():
                    monkeypatch.setenv(name, value)
                result = run_job(build_definitions(), "checkpoint_job", instance=instance)
                assert not result.success
                shown = [str(event) for event in result.all_events]
                assert [leaks(text) for text in shown if leaks(text)] == []
            for name in (*variables, "DATABASE_URL", "DATABASE_TIMEOUT"):
                monkeypatch.delenv(name, raising=False)
            assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) >= 10
        with (
            installation.database.connect_admin() as audit,
            installation.database.connect_admin(dbname=DAGSTER_DATABASE) as dagster,
        ):
            texts = [*texts_of_database(audit, EMBEDDED_DATABASE), *texts_of_database(dagster, DAGSTER_DATABASE)]
    found = [(place, leaks(text)) for place, text in texts if leaks(text)]
    assert found == []
    assert any("checkpoint_job" in text for _, text in texts)


def _fail_with(settings: Settings) -> Any:
    def anchor_due(_: object) -> None:
        for anchor in open_anchors(settings):
            anchor.publish("no note at all")

    return anchor_due


def test_no_file_of_the_home_but_the_keys_holds_a_secret(home: Path) -> None:
    texts = [
        (place, text)
        for path in home.iterdir()
        if path.name != "keys"
        for place, text in (
            texts_of_home(path) if path.is_dir() else [(path.name, path.read_bytes().decode("latin-1"))]
        )
    ]
    assert [(place, leaks(text)) for place, text in texts if leaks(text)] == []
    assert any(place == "api.log" for place, _ in texts)
    assert len(texts) > 5


def test_nothing_that_is_shown_of_an_object_holds_a_secret(
    variables: Mapping[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(variables | {"DATABASE_URL": BAD_URLS[0]})
    shown: list[object] = [settings, settings.model_dump(), settings.model_dump_json(), settings.anchors]
    shown += [*open_anchors(settings), open_keyring(settings), SecretStr("CANARY")]
    with open_installation(configured(variables)) as installation:
        app = create_app(installation)
        shown += [installation, installation.keyring, installation.database, installation.vault, installation.ledger]
        for route in app.routes:
            resource = getattr(route, "app", None)
            shown += [resource, vars(resource) if hasattr(resource, "__dict__") else None]
            authenticate = getattr(resource, "_authenticate", None)
            shown += [authenticate, getattr(authenticate, "_key_set", None)]
    for value in shown:
        assert leaks(f"{value!r} {value!s} {value}") == []
    for name, value in (variables | {"JWT_SECRET": "CANARY"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert leaks(f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}") == []
