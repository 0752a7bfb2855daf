"""Two tenants whose data look alike: no route, permission, table or setting shows one of them anything of the other.

The matrix is generated: routes from the application's own table, relations from the catalog. `pytest -s` prints it.
What a leak is, is decided by what the database holds: every word of eight letters and more that one tenant's rows have
and the other's have not. That the search finds leaks is tested by making some.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import anyio
import httpx
import psycopg
import pytest
from moved_clock import MovedClock, month
from psycopg import sql
from route_examples import ALICE, ANY, ELSEWHERE, EVENTS, EXAMPLES, GONE, SECRET, Call, Example, Side, World, event
from starlette.routing import Route

from audit_pipelines.db.database import Role
from audit_pipelines.db.queries import query
from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archiving import retain
from audit_pipelines.identity.credentials import Origin
from audit_pipelines.identity.opening import Identity, open_identity
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS, mint_token
from audit_pipelines.server.resource import OpenResource
from audit_pipelines.settings import Settings

SUBSETS: Final = [
    frozenset(chosen) for size in range(len(PERMISSIONS) + 1) for chosen in itertools.combinations(PERMISSIONS, size)
]
FEW: Final = [subset for subset in SUBSETS if len(subset) in {0, 1, len(PERMISSIONS)}]
# Of the sets that let somebody in, those that say how a permission acts alone, beside each other one and with all:
# the 24 others of each operation took three quarters of the time to answer as these eight do.
TELLING: Final = [subset for subset in SUBSETS if len(subset) in {0, 1, 2, len(PERMISSIONS)}]
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
WORD: Final = re.compile(r"[0-9A-Za-z_-]{8,}")
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d")
STRANGER: Final = UUID("5e5e5e5e-0000-4000-8000-00000000005e")
SQL_ROLES: Final[tuple[Role, ...]] = ("audit_app", "audit_reader")
# None leaves the setting as a new session has it.
SETTINGS: Final = (
    None,
    "",
    "x",
    " ",
    "null",
    "' or true --",
    "'; select * from audit_logs; --",
    "{uuid}",
    str(STRANGER),
    str(STRANGER).upper() + " or 1=1",
    "00000000-0000-0000-0000-00000000000g",
    "\U0001f600" * 36,
    "a" * 100_000,
)
HARMLESS: Final = frozenset({"audit_schema_migrations", "test_clock"})
"""Relations without tenants."""


@dataclass
class Seen:
    """What came of one case, kept until everybody's secrets are known."""

    side: Side
    line: str
    label: str
    text: str
    fault: str | None = None


@dataclass
class Matrix:
    """The cases of one run and their table."""

    seen: list[Seen] = field(default_factory=list)

    def add(self, side: Side, line: str, label: str, text: str, fault: str | None = None) -> None:
        self.seen.append(Seen(side, line, label, text, fault))

    def judge(self, world: World) -> list[str]:
        """Return every case that failed or leaks; prints one line for each line of the table."""
        secrets = secrets_of(world)
        wrong = []
        lines: dict[str, Counter[str]] = {}
        for case in self.seen:
            leaked = leaks(case.text, world.other(case.side), secrets[case.side.name])
            line = lines.setdefault(case.line, Counter())
            line["cases"] += 1
            line["leaks"] += bool(leaked)
            line[case.label.rpartition(" ")[2]] += 1
            if leaked or case.fault:
                wrong.append(f"{case.line} as {case.side.name}, {case.label}: {case.fault or ''} {sorted(leaked)[:3]}")
        for name, line in lines.items():
            rest = "  ".join(
                f"{count}x{what}" for what, count in sorted(line.items()) if what not in {"cases", "leaks"}
            )
            print(f"{name:64} | {line['cases']:5} cases | {line['leaks']} leaks | {rest}")  # noqa: T201 - the matrix
        print(f"{'all':64} | {len(self.seen):5} cases | {sum(line['leaks'] for line in lines.values())} leaks")  # noqa: T201
        return wrong


def words(value: object) -> Iterator[str]:
    """Yield what could be recognised in a value of a row."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from words(name)
            yield from words(item)
    elif isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, str):
        text = value.removeprefix("\\x")
        # An entry is text in a bytea.
        with_entry = bytes.fromhex(text).decode(errors="ignore") if re.fullmatch(r"(?:[0-9a-f]{2}){40,}", text) else ""
        for word in WORD.findall(f"{text} {with_entry}"):
            if not MOMENT.match(word):
                yield word


def relations(world: World) -> list[tuple[str, bool]]:
    """Return every relation of the schema, and whether it has a tenant_id."""
    with world.installation.database.connect_admin() as conn:
        return conn.execute(
            """
            select c.relname, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'
                                      and not a.attisdropped)
            from pg_class c
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
              and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
            order by 1
            """
        ).fetchall()


def secrets_of(world: World) -> dict[str, frozenset[str]]:
    """Return for each tenant the words of the other one's rows that are not its own words."""
    found: dict[UUID, set[str]] = {world.a.tenant_id: set(), world.b.tenant_id: set()}
    with world.installation.database.connect_admin() as conn:
        for name, has_tenant in relations(world):
            if not has_tenant:
                continue
            statement = sql.SQL("select tenant_id, to_jsonb(t)::text from {} t").format(sql.Identifier(name))
            for tenant_id, row in conn.execute(statement):
                if tenant_id in found:
                    found[tenant_id].update(words(json.loads(row)))
    return {
        side.name: frozenset(found[world.other(side).tenant_id] - found[side.tenant_id]) for side in (world.a, world.b)
    }


def leaks(text: str, other: Side, secrets: frozenset[str]) -> set[str]:
    """Return what of the other tenant stands in a text."""
    found = set(WORD.findall(text)) & secrets
    return found | {word for word in (other.canary, str(other.tenant_id), other.tenant_id.hex) if word in text}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # Months are dropped and due at once, and a matrix asks more often than anybody may.
    return Settings(
        _env_file=None,
        audit_home=tmp_path / "home",
        audit_archive_grace_days=0,
        audit_archive_years=1,
        audit_rate_limit=0,
        audit_rate_limit_writes=0,
        audit_rate_limit_refusals=0,
    )


@pytest.fixture
def world(installation: Installation) -> World:
    """Both tenants have five events of the same ids by the same people, and one of their own."""
    identity = open_identity(installation, hasher=Hasher(passes=1, memory_kib=64, lanes=1))
    a = Side("A", UUID(int=0xAAAA << 100), "canary-of-amber", "only-amber", named(16))
    b = Side("B", UUID(int=0xBBBB << 100), "canary-of-birch", "only-birch", named(15))
    clock = MovedClock(installation)
    for side, ago in ((a, 16), (b, 15), (a, 14), (b, 14)):
        clock.append(month(ago), side.tenant_id, _old_events(side, ago))
    a, b = _with_accounts(identity, a), _with_accounts(identity, b)
    made = World(installation, identity, a, b)
    for side in (a, b):
        events = [
            Event(
                event_type="user.login",
                entity_type="session",
                entity_id=f"s-{number}",
                actor=(ALICE, "bob")[number % 2],
                ip_address="192.0.2.7",
                event_id=f"e-{number}",
                outcome="success",
                details={"note": side.canary, "number": number},
            )
            for number in range(5)
        ]
        own = [
            Event(event_type="a.b", entity_type="thing", entity_id=name, event_id=name, details={"note": side.canary})
            for name in (side.only, f"{side.only}-hidden")
        ]
        own.append(Event(event_type="a.b", entity_type="thing", entity_id="x", actor=GONE, occurred_at=month(0)))
        installation.ledger.append(side.tenant_id, [*events, *own])
        installation.seal(side.tenant_id)
        with installation.database.connection("audit_pipeline") as conn:
            conn.execute(
                "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, event_type, score, "
                "severity, reasons, model_id, run_id) select tenant_id, seq, event_id, row_hash, occurred_at, "
                "event_type, 0.9, 'high', to_jsonb(%s::text), 'm', 'r' from audit_logs "
                "where tenant_id = %s and event_id = 'e-1'",
                [side.canary, side.tenant_id],
            )
            conn.execute(
                "insert into audit_incidents (tenant_id, incident_id, founding_seq, state, first_at, last_at, "
                "anomalies, suppressed, score, severity, title, meanings, story, run_id) "
                "values (%s, gen_random_uuid(), 1, 'open', now(), now(), 1, 0, 0.9, 'high', %s, '[]', '[]', 'r')",
                [side.tenant_id, side.canary],
            )
            content = json.dumps({"day": "yesterday", "note": side.canary}).encode()
            yesterday = datetime.now(UTC).date() - timedelta(days=1)
            conn.execute(
                query("identity/insert_review"), {"tenant_id": side.tenant_id, "day": yesterday, "content": content}
            )
    assert len(retain(installation, run_id="a test").released) == 3
    archive_deletion.mark_due(installation)
    return made


def named(ago: int) -> str:
    return f"{month(ago):%Y-%m}"


def _with_accounts(identity: Identity, side: Side) -> Side:
    """Alice with a session, and an account of a login that this tenant alone has."""
    for login in (ALICE, side.only):
        added = identity.accounts.add(
            side.tenant_id, login, f"{SECRET} first", name=f"{login} {side.canary}", permissions=PERMISSIONS, by="setup"
        )
        identity.accounts.change_password(side.tenant_id, login, f"{SECRET} first", SECRET, Origin())
    opened = identity.accounts.log_in(side.tenant_id, ALICE, SECRET, Origin())
    return replace(side, account=added, session=opened.session.session_id)


def _old_events(side: Side, ago: int) -> list[Event]:
    """Events that are in the archive alone, one of them of an id that this tenant alone has."""
    ids = [f"{side.only}-old", f"{side.only}-older"] if ago > 14 else ["old-1", "old-2"]
    return [
        Event(
            event_type="a.b", entity_type="thing", entity_id=one, event_id=one, actor=ALICE, details={"n": side.canary}
        )
        for one in ids
    ]


def operations() -> list[tuple[str, str, Example]]:
    """Return every operation that has an example, what stores first, so that what shows has something; HEAD as GET."""
    listed = [(path, method, example) for (path, method), example in EXAMPLES.items()]
    listed.sort(key=lambda operation: operation[1] != "POST")
    return listed + [(path, "HEAD", example) for path, method, example in listed if method == "GET"]


def test_every_route_has_an_example(installation: Installation) -> None:
    """Add a line to EXAMPLES in route_examples.py for each operation that this names."""
    missing, known = [], set(EXAMPLES)
    for route in create_app(installation).routes:
        path = getattr(route, "path", repr(route))
        if path in ELSEWHERE:
            continue
        if not isinstance(route, Route):
            missing.append(f"{type(route).__name__} {path}: name in ELSEWHERE the test that goes through it")
            continue
        is_open = isinstance(route.endpoint, OpenResource)
        methods = {"POST"} if is_open else vars(route.endpoint).get("_operations") or set(route.methods or ())
        for method in set(methods) - {"HEAD"}:
            known.discard((path, method))
            if (path, method) not in EXAMPLES:
                missing.append(f"{method} {path}: no request to try it with two tenants")
    assert missing == []
    assert sorted(known) == [], "examples of routes that are gone"


def token(
    world: World, side: Side, permissions: Sequence[str] | frozenset[str], session: UUID | None = None
) -> dict[str, str]:
    minted = mint_token(
        world.installation.keyring.jwt_secret,
        subject="alice@example.org",
        tenant_id=side.tenant_id,
        permissions=sorted(permissions),
        lifetime=timedelta(hours=1),
        session=session,
    )
    return {"Authorization": f"Bearer {minted}"}


async def ask(
    client: httpx.AsyncClient, method: str, call: Call, headers: dict[str, str]
) -> tuple[httpx.Response, str]:
    arguments = dict(call.arguments)
    if method == "HEAD":
        arguments = {name: value for name, value in arguments.items() if name in {"params", "headers"}}
    own_headers = headers | dict(arguments.pop("headers", {}))
    answer = await client.request(method, call.url, headers=own_headers, **arguments)
    return answer, f"{answer.headers} {answer.text}"


async def go_through(world: World, matrix: Matrix) -> None:
    """Ask every operation with every set of permissions that is refused and those that tell, and every other method."""
    tokens = {
        (side.name, subset, session): token(world, side, subset, side.session if session else None)
        for side, subset, session in itertools.product((world.a, world.b), SUBSETS, (False, True))
    }
    transport = httpx.ASGITransport(create_app(world.installation, identity=world.identity))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:

        async def case(
            method: str, path: str, side: Side, call: Call, *, who: str, headers: dict, allowed: set
        ) -> None:
            answer, text = await ask(client, method, call, headers)
            fault = None if answer.status_code in allowed else f"answered {answer.status_code}, expected {allowed}"
            matrix.add(side, f"{method} {path}", f"{who} {answer.status_code}", text, fault)

        for path, method, example in operations():
            needs, session = example.permission, example.with_session
            for side in (world.a, world.b):
                for subset in SUBSETS if side is world.a else FEW:
                    lets_in = needs in {None, ANY, *subset}
                    if lets_in and subset not in TELLING:
                        continue
                    call = example.own(world, side)
                    allowed = set(call.status) if lets_in else {403}
                    who = "+".join(one.removeprefix("audit:") for one in sorted(subset)) or "nothing"
                    headers = tokens[side.name, subset, session]
                    await case(method, path, side, call, who=who, headers=headers, allowed=allowed)
                everything = tokens[side.name, SUBSETS[-1], session]
                for make in example.foreign:
                    call = make(world, side)
                    await case(method, path, side, call, who="foreign", headers=everything, allowed=set(call.status))
                call = example.own(world, side)
                allowed = set(call.status) if needs is None else {401}
                await case(method, path, side, call, who="no token", headers={}, allowed=allowed)
        for path in dict.fromkeys(path for path, _ in EXAMPLES):
            own = {method for known, method, _ in operations() if known == path}
            url = next(example for (known, _), example in EXAMPLES.items() if known == path).own(world, world.a).url
            for method, side in itertools.product(METHODS, (world.a, world.b)):
                if method in own:
                    continue
                for subset in FEW:
                    who = "+".join(one.removeprefix("audit:") for one in sorted(subset)) or "nothing"
                    headers = tokens[side.name, subset, False]
                    await case(method, path, side, Call(url), who=who, headers=headers, allowed={405})


def test_no_route_shows_anything_of_another_tenant(world: World) -> None:
    matrix = Matrix()
    anyio.run(go_through, world, matrix)
    assert matrix.judge(world) == []
    assert len(matrix.seen) >= 400
    assert {case.side.name for case in matrix.seen} == {"A", "B"}
    # What is asked for is shown: a matrix of empty answers would prove nothing.
    shown = [case for case in matrix.seen if case.side.canary in case.text]
    assert {case.line for case in shown} >= {
        "GET /api/audit/events",
        "GET /api/audit/accounts",
        "GET /api/audit/reviews",
        "GET /api/audit/signatures",
        "GET /api/audit/legal-holds",
        "POST /api/audit/gdpr-export",
        "POST /api/audit/signatures",
    }
    assert [one.findings for one in world.installation.verify()] == [(), ()]


def test_what_a_route_shows_is_recorded_once_and_nothing_else_is(world: World) -> None:
    """A GET that leaves nothing in the access log, or something that its example does not name, is a fault."""
    recorded: list[tuple[str, str, list[str]]] = []

    def actions() -> list[str]:
        with world.installation.database.tenant_connection(world.a.tenant_id) as conn:
            rows = conn.execute("select action from audit_access_log order by seq").fetchall()
        return [action for (action,) in rows]

    async def go() -> None:
        transport = httpx.ASGITransport(create_app(world.installation))
        headers = token(world, world.a, PERMISSIONS)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            for path, method, example in operations():
                before = len(actions())
                await ask(client, method, example.own(world, world.a), headers)
                recorded.append((path, method, actions()[before:]))

    anyio.run(go)
    expected = [
        (path, method, [example.recorded] if example.recorded else []) for path, method, example in operations()
    ]
    assert recorded == expected
    unrecorded = [path for path, method, example in operations() if method == "GET" and not example.recorded]
    assert [path for path in unrecorded if EXAMPLES[path, "GET"].permission is not None] == []


def test_an_id_of_another_tenant_is_answered_like_one_that_nobody_has(world: World) -> None:
    async def compare() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(world.installation))
        headers = token(world, world.a, PERMISSIONS)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            asked = [f"{EVENTS}/{world.b.only}-hidden", f"{EVENTS}/nobody-has-this"]
            answers = [await client.get(url) for url in asked]
            for _ in range(2):
                key = {"Idempotency-Key": "same-key"}
                answers.append(await client.post(EVENTS, json=event(world, world.a), headers=key))
        return answers

    with world.installation.database.tenant_connection(world.b.tenant_id) as conn:
        conn.execute(
            "insert into audit_idempotency_keys (tenant_id, key, request_hash, response) values (%s, %s, %s, '{}')",
            [world.b.tenant_id, "same-key", bytes(32)],
        )
    [theirs, nobodys, first, again] = anyio.run(compare)
    assert (theirs.status_code, theirs.content, theirs.headers) == (404, nobodys.content, nobodys.headers)
    assert (first.status_code, again.status_code) == (201, 409)


def test_the_search_for_leaks_finds_one_in_an_answer(world: World) -> None:
    with world.installation.database.connect_admin() as conn:
        conn.execute("create policy broken on audit_logs for select to audit_app using (true)")
    matrix = Matrix()

    async def read() -> None:
        transport = httpx.ASGITransport(create_app(world.installation))
        headers = token(world, world.a, PERMISSIONS)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            for url in (EVENTS, f"{EVENTS}/{world.b.only}"):
                matrix.add(world.a, f"GET {url}", "broken 200", (await client.get(url)).text)

    anyio.run(read)
    assert len(matrix.judge(world)) == 2


DUMMIES: Final = {
    "uuid": "gen_random_uuid()",
    "text": "md5(random()::text)",
    "bytea": "sha256(random()::text::bytea)",
    "bigint": "1",
    "integer": "1",
    "smallint": "1",
    "real": "0.5",
    "double precision": "0.5",
    "numeric": "1",
    "boolean": "false",
    "timestamp with time zone": "now()",
    "date": "current_date",
    "interval": "'1 day'",
    "jsonb": "jsonb_build_object('word', md5(random()::text))",
    "json": "json_build_object('word', md5(random()::text))",
    "text[]": "array[md5(random()::text)]",
    "uuid[]": "array[gen_random_uuid()]",
    "bytea[]": "array[sha256(random()::text::bytea)]",
    "vector": "'[1,2]'",
    "inet": "'192.0.2.1'",
}


@pytest.fixture
def filled(world: World) -> World:
    """The same with rows of both tenants in every table, so that finding none in it means something."""
    with world.installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        tables = conn.execute(
            "select c.oid, c.relname from pg_class c "
            "join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' "
            "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"
        ).fetchall()
        for oid, name in tables:
            table = sql.Identifier(name)
            for (check,) in conn.execute(
                "select conname from pg_constraint where conrelid = %s and contype = 'c'", [oid]
            ):
                conn.execute(sql.SQL("alter table {} drop constraint {}").format(table, sql.Identifier(check)))
            columns = conn.execute(
                "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %s and attnum > 0 "
                "and not attisdropped and attidentity = '' and attgenerated = '' and attname <> 'tenant_id'",
                [oid],
            ).fetchall()
            unknown = {kind for _, kind in columns} - set(DUMMIES)
            assert not unknown, f"{name}: say in DUMMIES how a value of {unknown} is made"
            for side in (world.a, world.b):
                statement = sql.SQL("select exists (select from {} where tenant_id = %s)").format(table)
                if conn.execute(statement, [side.tenant_id]).fetchone() == (True,):
                    continue
                conn.execute(
                    sql.SQL("insert into {} ({}) select %s, {}").format(
                        table,
                        sql.SQL(", ").join(map(sql.Identifier, ["tenant_id", *(column for column, _ in columns)])),
                        sql.SQL(", ").join(sql.SQL(DUMMIES[kind]) for _, kind in columns),
                    ),
                    [side.tenant_id],
                )
    return world


def probe(conn: psycopg.Connection[Any], relation: str, setting: str | None) -> tuple[int, str]:
    """Return how many rows a session sees, and all that it was told: rows, and errors made of every text column."""
    name = sql.Identifier(relation)
    told = []
    with conn.transaction(force_rollback=True):
        if setting is not None:
            conn.execute("select set_config('app.current_tenant_id', %s, true)", [setting])
        try:
            rows = conn.execute(sql.SQL("select to_jsonb(t)::text from {} t").format(name)).fetchall()
        except psycopg.errors.InsufficientPrivilege as error:
            return 0, f"refused: {error.diag.message_primary} {error.diag.message_detail}"
        counted = conn.execute(sql.SQL("select count(*) from {}").format(name)).fetchone()
        told += [row[0] for row in rows]
        # A condition that fails on a value tells the value, if it is asked before the tenant is.
        condition = sql.SQL("select from {} t where (to_jsonb(t)::text)::int = 0").format(name)
        try:
            with conn.transaction():
                conn.execute(condition)
        except psycopg.Error as error:
            told.append(str(error))
        return max(len(rows), counted[0] if counted else 0), " ".join(told)


def go_through_tables(world: World, matrix: Matrix, only: str | None = None) -> None:
    """Read every relation as every role with every setting; only the tenant's own shows anything."""
    for role in SQL_ROLES:
        with psycopg.connect(world.installation.database.conninfo(role), autocommit=True) as conn:
            for relation, has_tenant in relations(world):
                if only not in {None, relation} or relation in HARMLESS:
                    continue
                line = f"{role} {relation}"
                if not has_tenant:
                    _, told = probe(conn, relation, None)
                    fault = None if told.startswith("refused") else "readable, though it names no tenant"
                    matrix.add(world.a, line, "no-tenant refused", told, fault)
                    continue
                for setting in SETTINGS:
                    count, told = probe(conn, relation, setting)
                    what = "refused" if told.startswith("refused") else f"{count}-rows"
                    fault = f"{count} rows with {setting!r:.40}" if count or (told and what != "refused") else None
                    matrix.add(world.a, line, f"{setting!r:.20} {what}", told, fault)
                for side in (world.a, world.b):
                    count, told = probe(conn, relation, str(side.tenant_id))
                    refused = told.startswith("refused")
                    fault = None if refused or count else "not even its own rows"
                    matrix.add(side, line, f"own {'refused' if refused else 'own-rows'}", told, fault)


def test_no_table_shows_anything_without_the_tenant(filled: World) -> None:
    matrix = Matrix()
    go_through_tables(filled, matrix)
    assert matrix.judge(filled) == []
    assert len(matrix.seen) >= 400
    assert sum(case.label.endswith("own-rows") for case in matrix.seen) >= 40
    assert {case.text for case in matrix.seen if case.label.endswith("0-rows")} == {""}


def test_the_search_for_leaks_finds_a_table_without_row_security(filled: World) -> None:
    with filled.installation.database.connect_admin() as conn:
        conn.execute("alter table audit_anomalies disable row level security")
    matrix = Matrix()
    go_through_tables(filled, matrix, "audit_anomalies")
    assert len(matrix.judge(filled)) == len(matrix.seen)


def test_no_table_takes_a_row_of_another_tenant(filled: World) -> None:
    with filled.installation.database.connect_admin() as conn:
        writable = conn.execute(
            """
            select table_name, privilege_type from information_schema.role_table_grants
            where grantee = 'audit_app' and table_schema = 'public' and privilege_type in ('INSERT', 'UPDATE', 'DELETE')
            """
        ).fetchall()
    assert len(writable) >= 10
    for table, privilege in writable:
        name = sql.Identifier(table)
        statement = {
            "INSERT": sql.SQL("insert into {} (tenant_id) values (%(other)s)"),
            "UPDATE": sql.SQL("update {} set tenant_id = %(other)s"),
            "DELETE": sql.SQL("delete from {} where tenant_id = %(other)s"),
        }[privilege].format(name)
        with filled.installation.database.tenant_connection(filled.a.tenant_id) as conn:
            try:
                with conn.transaction():
                    count = conn.execute(statement, {"other": filled.b.tenant_id}).rowcount
            except psycopg.errors.InsufficientPrivilege:
                continue
        assert (privilege, count) == ("DELETE", 0), table
