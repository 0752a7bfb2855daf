"""Accounts, logins and sessions over HTTP: who gets in, who is kept out for how long, and what ends a session."""

import logging
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from test_server_running import EVENT, Api, serving

from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.identity.accounts import Accounts, LoginRefusedError
from audit_pipelines.identity.credentials import Origin
from audit_pipelines.identity.opening import Identity, open_identity
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.installation import Installation
from audit_pipelines.server import auth

EVENTS = "/api/audit/events"
LOGIN = "/api/audit/login"
ACCOUNTS = "/api/audit/accounts"
PASSWORD = "/api/audit/password"
FIRST, SECOND, THIRD, WRONG = (
    "first quiet-otter 11",
    "second quiet-otter 22",
    "third quiet-otter 33",
    "wrong otter 4444",
)
ALL = ["audit:read", "audit:write", "audit:sign"]


class Clock:
    """The present time, until it is moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class CountingHasher(Hasher):
    """Argon2 with parameters that cost nothing; knows how often it compared."""

    def __init__(self) -> None:
        super().__init__(passes=1, memory_kib=64, lanes=1)
        self.compared = 0
        self._lock = threading.Lock()

    def fits(self, hashed: str, password: str) -> bool:
        with self._lock:
            self.compared += 1
        return super().fits(hashed, password)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def identity(installation: Installation, clock: Clock, hasher: CountingHasher) -> Identity:
    return open_identity(installation, hasher=hasher, clock=clock)


@pytest.fixture
def asked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server ask about a session at every request, so that no test waits for five seconds."""
    monkeypatch.setattr(auth, "_ASK_SESSIONS_S", 0.0)


@pytest.fixture
def api(installation: Installation, identity: Identity) -> Iterator[Api]:
    with serving(installation, identity) as served:
        yield served


@pytest.fixture
def accounts(identity: Identity) -> Accounts:
    return identity.accounts


def add(accounts: Accounts, tenant_id: UUID, login: str = "alice", **given: Any) -> UUID:
    """Make an account whose owner has chosen the password `SECOND`."""
    name = given.get("name", "Alice Liddell")
    made = accounts.add(tenant_id, login, FIRST, name=name, permissions=given.get("permissions", ALL), by="cli:root")
    accounts.change_password(tenant_id, login, FIRST, SECOND, Origin())
    return made


def log_in(api: Api, tenant_id: UUID, login: str = "alice", password: str = SECOND) -> httpx.Response:
    body = {"tenant_id": str(tenant_id), "login": login, "password": password}
    return api.anonymous().post(LOGIN, json=body)


def change(api: Api, tenant_id: UUID, old: str, new: str, login: str = "alice") -> httpx.Response:
    body = {"tenant_id": str(tenant_id), "login": login, "old_password": old, "new_password": new}
    return api.anonymous().post(PASSWORD, json=body)


def session(api: Api, tenant_id: UUID, login: str = "alice", password: str = SECOND) -> httpx.Client:
    response = log_in(api, tenant_id, login, password)
    assert response.status_code == 200, response.text
    return api.anonymous(Authorization=f"Bearer {response.json()['token']}")


def told(api: Api, tenant_id: UUID) -> list[tuple[Any, ...]]:
    """Return type, outcome, details and account of what the ledger says about accounts, in its order."""
    with api.installation.database.tenant_connection(tenant_id) as conn:
        return conn.execute(
            "select event_type, outcome, details::jsonb, entity_id from audit_events "
            "where event_type like 'audit.account.%' order by seq"
        ).fetchall()


def account_row(api: Api, tenant_id: UUID) -> dict[str, Any]:
    with api.installation.database.connect_admin() as conn:
        cursor = conn.cursor(row_factory=psycopg.rows.dict_row)
        row = cursor.execute("select * from audit_users where tenant_id = %s", [tenant_id]).fetchone()
    assert row
    return row


@pytest.mark.usefixtures("asked_always")
def test_a_login_opens_a_session_that_works_until_the_logout(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    user_id = add(accounts, tenant_id)
    response = log_in(api, tenant_id, "  ALICE ")
    opened = response.json()
    assert opened["permissions"] == ALL
    client = api.anonymous(Authorization=f"Bearer {opened['token']}")
    assert client.post(EVENTS, json=EVENT).status_code == 201
    assert client.get(EVENTS).status_code == 200
    assert client.post("/api/audit/logout").status_code == 204
    assert client.get(EVENTS).status_code == 401
    assert [(kind, outcome) for kind, outcome, _, _ in told(api, tenant_id)] == [
        ("audit.account.created", "success"),
        ("audit.account.password_changed", "success"),
        ("audit.account.login", "success"),
        ("audit.account.logout", "success"),
    ]
    assert {account for *_, account in told(api, tenant_id)} == {str(user_id)}
    [verification] = api.installation.verify(tenant_id)
    assert verification.intact, verification.findings


def test_a_token_without_a_session_has_none_to_end(api: Api, tenant_id: UUID) -> None:
    assert api.client(tenant_id).post("/api/audit/logout").json()["type"].endswith(":no-session")


def test_an_ended_session_is_asked_about_again(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    client = session(api, tenant_id)
    assert client.get(EVENTS).status_code == 200
    client.post("/api/audit/logout")
    # Five seconds, on a machine that does nothing else.
    give_up = time.monotonic() + 120
    while client.get(EVENTS).status_code != 401:
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.mark.usefixtures("asked_always")
@pytest.mark.parametrize(
    "how", ["logout elsewhere", "password", "disable", "erase", "idle", "absolute", "other worker"]
)
def test_sessions_end(api: Api, identity: Identity, clock: Clock, tenant_id: UUID, how: str) -> None:
    add(identity.accounts, tenant_id)
    client, other = session(api, tenant_id), session(api, tenant_id)
    assert client.get(EVENTS).status_code == other.get(EVENTS).status_code == 200
    match how:
        case "logout elsewhere":
            assert other.post("/api/audit/logout").status_code == 204
            assert (client.get(EVENTS).status_code, other.get(EVENTS).status_code) == (200, 401)
            return
        case "password":
            assert change(api, tenant_id, SECOND, THIRD).status_code == 204
        case "disable":
            identity.accounts.disable(tenant_id, "alice", by="cli:root")
        case "erase":
            api.installation.erase(tenant_id, "alice")
        case "idle":
            clock.ahead = timedelta(minutes=14)
            assert client.get(EVENTS).status_code == 200
            clock.ahead = timedelta(minutes=28)
            assert client.get(EVENTS).status_code == 200
            assert other.get(EVENTS).status_code == 401
            clock.ahead = timedelta(minutes=43)
        case "absolute":
            for minutes in range(10, 12 * 60, 10):
                clock.ahead = timedelta(minutes=minutes)
                assert client.get(EVENTS).status_code == 200
            clock.ahead = timedelta(hours=12)
        case "other worker":
            open_identity(api.installation).accounts.disable(tenant_id, "alice", by="cli:root")
    assert (client.get(EVENTS).status_code, other.get(EVENTS).status_code) == (401, 401)


@pytest.mark.usefixtures("asked_always")
def test_enabling_brings_no_session_back(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    client = session(api, tenant_id)
    accounts.disable(tenant_id, "alice", by="cli:root")
    accounts.enable(tenant_id, "alice", by="cli:root")
    assert client.get(EVENTS).status_code == 401
    assert log_in(api, tenant_id).status_code == 200


def test_every_refusal_is_the_same_and_compares_once(
    api: Api, accounts: Accounts, hasher: CountingHasher, tenant_id: UUID
) -> None:
    for login in ("alice", "carol", "daniel", "erika"):
        add(accounts, tenant_id, login, name=f"{login.title()} Person")
    accounts.disable(tenant_id, "carol", by="cli:root")
    for _ in range(5):
        log_in(api, tenant_id, "daniel", WRONG)
    api.installation.erase(tenant_id, "erika")
    before = told(api, tenant_id)
    answers = {}
    for login, tenant, password in [
        ("alice", tenant_id, WRONG),
        ("nobody", tenant_id, WRONG),
        ("carol", tenant_id, SECOND),
        ("daniel", tenant_id, SECOND),
        ("erika", tenant_id, SECOND),
        ("alice", uuid4(), SECOND),
    ]:
        hasher.compared = 0
        response = log_in(api, tenant, login, password)
        assert hasher.compared == 1, login
        headers = {name: value for name, value in response.headers.items() if name != "date"}
        answers[response.status_code, response.text, str(headers)] = login
    assert len(answers) == 1
    [(status, body, _)] = answers
    assert (status, "login-refused" in body) == (401, True)
    # All but the tenant that does not exist are in the ledger, so the time for that is spent in each case too.
    reasons = [details["reason"] for _, _, details, _ in told(api, tenant_id)[len(before) :]]
    assert reasons == ["wrong password", "unknown login", "disabled", "locked", "erased"]


def test_asking_makes_neither_tenants_nor_persons(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    known, stranger = api.count(tenant_id, "audit_subjects"), uuid4()
    api.installation.erase(tenant_id, "alice")
    for login in ("mallory", "alice"):
        log_in(api, tenant_id, login, WRONG)
        change(api, tenant_id, WRONG, THIRD, login)
        log_in(api, stranger, login, WRONG)
    assert api.count(tenant_id, "audit_subjects") == known
    assert api.count(stranger, "audit_subjects") == api.count(stranger, "audit_chain_heads") == 0


def test_a_known_login_takes_as_long_as_an_unknown_one(installation: Installation, tenant_id: UUID) -> None:
    accounts = open_identity(installation).accounts
    add(accounts, tenant_id)

    def took(login: str) -> float:
        begun = time.perf_counter()
        with pytest.raises(LoginRefusedError):
            accounts.log_in(tenant_id, login, WRONG, Origin())
        return time.perf_counter() - begun

    took("nobody")
    # In turns, so that what else the machine does falls on both; without the comparison one of them takes a tenth.
    known, unknown = [], []
    for _ in range(4):
        known.append(took("alice"))
        unknown.append(took("nobody"))
    ratio = statistics.median(known) / statistics.median(unknown)
    assert 1 / 3 < ratio < 3, (known, unknown)


def test_racing_attempts_get_five_tries(
    api: Api, accounts: Accounts, tenant_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = add(accounts, tenant_id)
    other = open_identity(api.installation, hasher=CountingHasher()).accounts

    def attempt(place: int) -> None:
        # Half of them through another process's worth of objects: nothing in memory keeps the count.
        with pytest.raises(LoginRefusedError):
            (accounts, other)[place % 2].log_in(tenant_id, "alice", WRONG, Origin("198.51.100.9", "curl/8"))

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(40)))
    story = told(api, tenant_id)
    reasons = [details.get("reason") for kind, _, details, _ in story if kind == "audit.account.login"]
    assert (reasons.count("wrong password"), reasons.count("locked")) == (5, 35)
    assert [kind for kind, *_ in story].count("audit.account.locked") == 1
    assert account_row(api, tenant_id)["failed_attempts"] == 5
    [line] = [record.getMessage() for record in caplog.records if "account locked" in record.getMessage()]
    assert str(user_id) in line
    assert not [word for word in ("alice", "Liddell", "otter", "198.51") if word in caplog.text]
    assert log_in(api, tenant_id).status_code == 401


def test_a_lock_out_ends_by_itself_or_by_an_administrator(
    api: Api, accounts: Accounts, clock: Clock, tenant_id: UUID
) -> None:
    add(accounts, tenant_id)
    for _ in range(4):
        assert log_in(api, tenant_id, password=WRONG).status_code == 401
    assert log_in(api, tenant_id).status_code == 200  # a right one begins the count anew
    for _ in range(5):
        log_in(api, tenant_id, password=WRONG)
    assert log_in(api, tenant_id).status_code == 401
    clock.ahead = timedelta(minutes=29)
    assert log_in(api, tenant_id).status_code == 401
    clock.ahead = timedelta(minutes=31)
    assert log_in(api, tenant_id, password=WRONG).status_code == 401  # the first of five
    assert log_in(api, tenant_id).status_code == 200
    for _ in range(5):
        log_in(api, tenant_id, password=WRONG)
    accounts.unlock(tenant_id, "alice", by="cli:root")
    assert log_in(api, tenant_id).status_code == 200
    assert [kind for kind, *_ in told(api, tenant_id)].count("audit.account.unlocked") == 1


@pytest.mark.usefixtures("asked_always")
def test_strangers_guessing_at_the_login_end_no_session(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    client = session(api, tenant_id)
    for _ in range(6):
        log_in(api, tenant_id, password=WRONG)
    assert client.get(EVENTS).status_code == 200


def test_a_password_set_by_another_must_be_replaced(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    accounts.add(tenant_id, "alice", FIRST, name="Alice Liddell", permissions=ALL, by="cli:root")
    refused = log_in(api, tenant_id, password=FIRST)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "password-expired")
    assert change(api, tenant_id, FIRST, SECOND).status_code == 204
    assert log_in(api, tenant_id).status_code == 200
    accounts.set_password(tenant_id, "alice", THIRD, by="cli:root")
    assert log_in(api, tenant_id, password=SECOND).status_code == 401
    assert log_in(api, tenant_id, password=THIRD).status_code == 403


def test_passwords_age(api: Api, accounts: Accounts, clock: Clock, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    clock.ahead = timedelta(days=89, hours=23)
    assert log_in(api, tenant_id).status_code == 200
    clock.ahead = timedelta(days=90, minutes=1)
    assert log_in(api, tenant_id).status_code == 403
    assert log_in(api, tenant_id, password=WRONG).status_code == 401
    assert change(api, tenant_id, SECOND, THIRD).status_code == 204
    assert log_in(api, tenant_id, password=THIRD).status_code == 200


def test_the_last_four_passwords_do_not_come_again(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    chosen = [f"{word} quiet-otter" for word in ("yellow", "purple", "orange", "silver", "bronze")]
    accounts.add(tenant_id, "alice", FIRST, name="Alice Liddell", permissions=ALL, by="cli:root")
    present = FIRST
    for password in chosen:
        assert change(api, tenant_id, present, password).status_code == 204
        present = password
    for former in chosen[1:]:
        refused = change(api, tenant_id, present, former)
        assert refused.status_code == 422, former
        assert "otter" not in refused.text
    assert change(api, tenant_id, present, chosen[0]).status_code == 204
    assert len(account_row(api, tenant_id)["former_hashes"]) == 3


def test_a_wrong_old_password_counts_as_a_try(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    for _ in range(5):
        assert change(api, tenant_id, WRONG, THIRD).status_code == 401
    assert log_in(api, tenant_id).status_code == 401


def test_a_hash_of_older_parameters_is_made_anew(
    api: Api, installation: Installation, accounts: Accounts, tenant_id: UUID
) -> None:
    add(accounts, tenant_id)
    before = account_row(api, tenant_id)
    stronger = open_identity(installation, hasher=Hasher(passes=2, memory_kib=128, lanes=1)).accounts
    stronger.log_in(tenant_id, "alice", SECOND, Origin())
    after = account_row(api, tenant_id)
    assert (before["password_hash"][:28], after["password_hash"][:29]) == (
        "$argon2id$v=19$m=64,t=1,p=1$",
        "$argon2id$v=19$m=128,t=2,p=1$",
    )
    assert after["password_set_at"] == before["password_set_at"]
    assert log_in(api, tenant_id).status_code == 200


def test_a_login_is_given_once(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    accounts.disable(tenant_id, "alice", by="cli:root")
    add(accounts, tenant_id, "bob", name="Bob Builder")
    api.installation.erase(tenant_id, "bob")
    people = api.count(tenant_id, "audit_subjects")
    for login in ("alice", " Alice", "ＡＬＩＣＥ", "bob"):  # full-width letters are the same in NFKC
        with pytest.raises(ConflictError):
            accounts.add(tenant_id, login, THIRD, name="Somebody Else", permissions=ALL, by="cli:root")
    assert api.count(tenant_id, "audit_subjects") == people
    accounts.add(uuid4(), "alice", THIRD, name="Somebody Else", permissions=ALL, by="cli:root")


def test_no_table_holds_a_name_a_login_or_a_password(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    session(api, tenant_id)
    log_in(api, tenant_id, password=WRONG)
    log_in(api, tenant_id, "mallory", WRONG)
    with api.installation.database.connect_admin() as conn:
        tables = conn.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        content = "".join(
            str(row)
            for (table,) in tables
            for row in conn.execute(f"select row_to_json(t)::text, t::text from {table} t").fetchall()
        )
        entries = b"".join(row[0] for row in conn.execute("select entry from audit_logs").fetchall()).decode()
    for word in ("alice", "liddell", "otter", "mallory"):
        assert word not in content.lower()
        assert word not in entries.lower()


def test_erasing_the_person_ends_the_account(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    user_id = add(accounts, tenant_id)
    api.installation.erase(tenant_id, str(user_id))
    [account] = accounts.list(tenant_id)
    assert (account.user_id, account.login, account.name) == (user_id, "erased", "erased")
    assert log_in(api, tenant_id).status_code == 401
    with pytest.raises(ValidationError):
        accounts.set_password(tenant_id, "alice", THIRD, by="cli:root")


def test_accounts_of_other_tenants_do_not_exist(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    add(accounts, tenant_id)
    stranger = uuid4()
    add(accounts, stranger, "eve", name="Eve Adams")
    assert [account.login for account in accounts.list(tenant_id)] == ["alice"]
    assert log_in(api, stranger).status_code == 401
    with pytest.raises(ValidationError):
        accounts.disable(stranger, "alice", by="cli:root")


CHANGES = (
    "delete from audit_users",
    "update audit_users set login_index = sha256('x')",
    "update audit_users set user_id = gen_random_uuid()",
    "truncate audit_users cascade",
)


@pytest.mark.parametrize("statement", CHANGES)
def test_nobody_gives_an_account_to_another(api: Api, accounts: Accounts, tenant_id: UUID, statement: str) -> None:
    add(accounts, tenant_id)
    with (
        api.installation.database.connect_admin() as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="for ever"),
    ):
        conn.execute(statement)
    with (
        api.installation.database.tenant_connection(tenant_id) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
    ):
        conn.execute(statement)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, ""),
        ({"tenant_id": "x"}, 422, "/tenant_id"),
        ({"password": 7}, 422, "/password"),
        ({"login": ""}, 422, "/login"),
        ({"login": "a\nb"}, 422, "/login"),
        ({"password": "x" * 2_000}, 422, "/password"),
        ({"more": 1}, 422, ""),
    ],
)
def test_faults_of_a_login_are_named_and_no_value_is(
    api: Api, tenant_id: UUID, body: dict[str, Any], status: int, pointer: str
) -> None:
    whole = {"tenant_id": str(tenant_id), "login": "alice", "password": SECOND} if body else {}
    response = api.anonymous().post(LOGIN, json=whole | body)
    assert response.status_code == status, response.text
    assert [fault["pointer"] for fault in response.json()["faults"]] == [pointer]
    assert "otter" not in response.text


def test_get_is_no_login(api: Api) -> None:
    response = api.anonymous().get(LOGIN)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_logins_do_not_keep_events_waiting(installation: Installation, tenant_id: UUID) -> None:
    """Real Argon2, more logins than workers: an event is stored while they wait."""
    identity = open_identity(installation)
    add(identity.accounts, tenant_id)
    with serving(installation, identity) as api, ThreadPoolExecutor(12) as pool:
        writer = api.client(tenant_id, "audit:write")
        writer.post(EVENTS, json=EVENT)
        logins = [pool.submit(log_in, api, tenant_id, f"nobody-{place}", WRONG) for place in range(12)]
        stored = 0
        while not all(login.done() for login in logins):
            assert writer.post(EVENTS, json=EVENT).status_code == 201
            stored += 1
        assert {login.result().status_code for login in logins} == {401}
    # One that waits for the logins waits for all of them.
    assert stored > 3


def test_administrators_manage_accounts_over_http(api: Api, tenant_id: UUID) -> None:
    admin = api.client(tenant_id, "audit:admin", subject="head-of-it")
    given = {"login": "alice", "name": "Alice Liddell", "permissions": ["audit:read"], "password": FIRST}
    made = admin.post(ACCOUNTS, json=given)
    assert made.status_code == 201, made.text
    account = f"{ACCOUNTS}/{made.json()['account_id']}"
    assert admin.post(ACCOUNTS, json=given).status_code == 409
    assert admin.post(ACCOUNTS, json=given | {"login": "bob", "password": "short"}).status_code == 422
    assert admin.post(ACCOUNTS, json=given | {"login": "bob", "permissions": ["audit:all"]}).status_code == 422
    [shown] = admin.get(ACCOUNTS).json()["accounts"]
    assert (shown["login"], shown["name"], shown["must_change"]) == ("alice", "Alice Liddell", True)
    assert not [word for word in ("hash", "otter", "argon2") if word in str(shown)]
    assert change(api, tenant_id, FIRST, SECOND).status_code == 204
    for action, expected in [("disable", 401), ("enable", 200)]:
        assert admin.post(account, json={"action": action}).status_code == 204
        assert log_in(api, tenant_id).status_code == expected
    for _ in range(5):
        log_in(api, tenant_id, password=WRONG)
    assert admin.post(account, json={"action": "unlock"}).status_code == 204
    assert log_in(api, tenant_id).status_code == 200
    assert admin.post(account, json={"action": "set_password"}).status_code == 422
    assert admin.post(account, json={"action": "set_password", "password": THIRD}).status_code == 204
    assert log_in(api, tenant_id, password=THIRD).status_code == 403
    with api.installation.database.tenant_connection(tenant_id) as conn:
        actors = conn.execute(
            "select actor_ref from audit_events where event_type = any (%s)",
            [[f"audit.account.{what}" for what in ("created", "disabled", "enabled", "unlocked", "password_set")]],
        ).fetchall()
        names = api.installation.vault.identities(conn, [ref for (ref,) in actors])
    assert len(actors) == 5
    assert set(names.values()) == {"head-of-it"}


def test_accounts_over_http_need_the_permission_and_stay_in_the_tenant(
    api: Api, accounts: Accounts, tenant_id: UUID
) -> None:
    account = f"{ACCOUNTS}/{add(accounts, tenant_id)}"
    others = [permission for permission in auth.PERMISSIONS if permission != "audit:admin"]
    client = api.client(tenant_id, *others)
    assert {client.get(ACCOUNTS).status_code, client.post(account, json={"action": "disable"}).status_code} == {403}
    stranger = api.client(uuid4(), "audit:admin")
    assert stranger.get(ACCOUNTS).json() == {"accounts": []}
    for path in (account, f"{ACCOUNTS}/nothing"):
        assert stranger.post(path, json={"action": "disable"}).status_code == 404
    api.installation.erase(tenant_id, "alice")
    assert api.client(tenant_id, "audit:admin").post(account, json={"action": "enable"}).status_code == 404
