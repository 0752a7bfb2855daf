"""Whatever is done to a ledger in whatever order, it keeps its promises: a model remembers, the database must agree.

Hypothesis chooses the steps. Hashes and roots are computed here from docs/ledger_format.md with hashlib alone. Changes
that must be noticed are test_tamper_matrix.py's and test_mutations.py's.
"""

import base64
import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from audit_pipelines.db.database import Database
from audit_pipelines.encryption_rotation import rotate_encryption_key
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring, rotate_signing_key
from audit_pipelines.ledger import verify_evidence
from audit_pipelines.ledger.checkpoint import Checkpoint
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import signed_by
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.store import Batch, Receipt
from audit_pipelines.server.idempotency import Answer, RequestKey
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.writing import EventWrite, store, store_batch
from audit_pipelines.settings import Settings

EXAMPLES = 8
STEPS = 30
PEOPLE = {"zoe.quill@example.org": "zoe.quill", "yusuf-brandt": "yusuf-brandt", "arn:aws:iam::1:user/xanthe": "xanthe"}
"""Identities, and the piece of each that must stand nowhere in what they did."""
SPELLINGS = ("{}", " {} ")
ADDRESSES = ("192.0.2.7", "2001:db8::7")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FreshDatabase = Callable[[Settings], AbstractContextManager[Database]]


@st.composite
def events(draw: st.DrawFn) -> Event:
    actor = draw(st.none() | st.sampled_from(sorted(PEOPLE)))
    entity_type = draw(st.sampled_from(["thing", "thing", "user"]))
    entity_id = draw(st.sampled_from(sorted(PEOPLE) if entity_type == "user" else ["42", f"home/{actor or 'nobody'}"]))
    details = [
        None,
        {},
        {"n": 1, "list": [True, None, "ünï \u2028 𝄞"]},
        {"note": f"by {actor}", "deep": [{"by": actor}]},
    ]
    return Event(
        event_type=draw(st.sampled_from(["a.b", 'quote " back \\ slash'])),
        entity_type=entity_type,
        entity_id=entity_id,
        actor=f" {actor.upper()} " if actor and draw(st.booleans()) else actor,
        ip_address=draw(st.none() | st.sampled_from(ADDRESSES)),
        user_agent=draw(st.sampled_from([None, "curl", f"curl of {actor}"])),
        details=draw(st.sampled_from(details)),
        occurred_at=draw(st.sampled_from([None, datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC)])),
        event_id=draw(st.none() | st.integers(0, 200).map("id {}".format)),
        sealed_fields=draw(st.sampled_from([(), ("/n",), ("/list/2", "/absent")])),
    )


@st.composite
def batches(draw: st.DrawFn) -> list[Event]:
    """Some events, now and then one of them twice."""
    batch = draw(st.lists(events(), min_size=1, max_size=5))
    return batch + batch[: draw(st.sampled_from([0, 0, 1]))]


processes = st.integers(0, 1)
tenants = st.integers(0, 1)


@dataclass(frozen=True)
class Stored:
    """What was answered for; the event is None where the ledger itself wrote it."""

    receipt: Receipt
    event: Event | None
    life: int
    """How often the actor had been erased before."""


@dataclass
class Model:
    """What must be true of one tenant."""

    tenant_id: uuid.UUID
    rows: list[Stored] = field(default_factory=list)
    by_id: dict[str, Stored] = field(default_factory=dict)
    client_ids: set[str] = field(default_factory=set)
    entries: list[bytes] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    lives: dict[str, int] = field(default_factory=dict)
    refs: dict[tuple[str, int], uuid.UUID] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    answers: dict[str, tuple[list[Event], Answer]] = field(default_factory=dict)
    has_key: bool = False

    @property
    def sealed(self) -> int:
        return self.checkpoints[-1].size if self.checkpoints else 0

    def life(self, name: str | None) -> int:
        return self.lives.get(identity(name), 0) if name else 0

    def meet(self, batch: Sequence[Event]) -> None:
        """Whoever is in events that are made ready is in the vault from then on, stored or not."""
        self.has_key = True
        for event in batch:
            self.living |= {identity(event.actor)} if event.actor else set()
            self.living |= {event.entity_id} if event.entity_type == "user" else set()

    def is_conflict(self, batch: Sequence[Event]) -> bool:
        return has_repeats_that_differ(batch) or any(
            event.event_id in self.by_id and not self.is_retry(event) for event in batch
        )

    def is_retry(self, event: Event) -> bool:
        """Whether it is the event that has this id, as far as can be told: an erased actor's key told it."""
        before = self.by_id.get(event.event_id or "")
        return (
            before is not None
            and before.event is not None
            and event.event_id in self.client_ids
            and content(before.event) == content(event)
            and before.life == self.life(event.actor)
        )

    def accept(self, batch: Sequence[Event], receipts: Sequence[Receipt]) -> None:
        """Compare receipts with what must be answered and remember what is new."""
        in_call: dict[str, Receipt] = {}
        assert len(receipts) == len(batch)
        for event, receipt in zip(batch, receipts, strict=True):
            before = self.by_id[event.event_id].receipt if event.event_id in self.by_id else None
            before = in_call.get(event.event_id or "", before)
            if before:
                assert receipt == msgspec.structs.replace(before, duplicate=True)
                continue
            assert event.event_id in {None, receipt.event_id}
            in_call[receipt.event_id] = receipt
            self.remember(event, receipt)

    def remember(self, event: Event | None, receipt: Receipt) -> None:
        assert (receipt.seq, receipt.duplicate) == (len(self.rows), False)
        stored = Stored(receipt, event, self.life(event.actor if event else None))
        self.rows.append(stored)
        assert receipt.event_id not in self.by_id
        self.by_id[receipt.event_id] = stored
        if event and event.event_id:
            self.client_ids.add(event.event_id)


def identity(name: str) -> str:
    return name.strip().casefold()


def content(event: Event) -> Event:
    return msgspec.structs.replace(event, sealed_fields=())


def has_repeats_that_differ(batch: Sequence[Event]) -> bool:
    first: dict[str, Event] = {}
    return any(content(first.setdefault(event.event_id, event)) != content(event) for event in batch if event.event_id)


def request_key(tenant_id: uuid.UUID, key: str | None, batch: Sequence[Event]) -> RequestKey | None:
    return RequestKey(tenant_id, key, sha256(repr(list(batch)).encode())) if key else None


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(tenant_id: uuid.UUID, seq: int, recorded_at: datetime, entry: bytes) -> bytes:
    moment = (recorded_at - EPOCH) // timedelta(microseconds=1)
    return sha256(b"\x00", tenant_id.bytes, seq.to_bytes(8), moment.to_bytes(8), sha256(entry))


def root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01", root(leaves[:half]), root(leaves[half:]))


class LedgerMachine(RuleBasedStateMachine):
    """Two tenants of one ledger, and two processes that work on it, each with caches of its own."""

    def __init__(self, fresh_database: FreshDatabase, folder: Path) -> None:
        super().__init__()
        self.ending = ExitStack()
        self.settings = Settings(_env_file=None, audit_home=folder / uuid.uuid4().hex)
        self.database = self.ending.enter_context(fresh_database(self.settings))
        self.processes = [self.opened(), self.opened()]
        self.models = [Model(uuid.uuid4()), Model(uuid.uuid4())]
        self.admin = self.ending.enter_context(self.database.connect_admin())
        self.keys_seen: set[str] = set()
        self.is_newly_wrapped = self.is_newly_signed = True
        self.evidence: list[tuple[bytes, str]] = []

    def opened(self) -> Installation:
        """Return the installation as a process that starts now opens it."""
        return assemble(self.settings, open_keyring(self.settings), self.database)

    # ------------------------------------------------------------------ appending

    @rule(process=processes, tenant=tenants, batch=batches())
    def append(self, process: int, tenant: int, batch: list[Event]) -> None:
        model = self.meet(tenant, batch)
        if model.is_conflict(batch):
            with pytest.raises(ConflictError):
                self.processes[process].ledger.append(model.tenant_id, batch)
        else:
            model.accept(batch, self.processes[process].ledger.append(model.tenant_id, batch))

    @precondition(lambda self: any(model.client_ids for model in self.models))
    @rule(process=processes, before=st.lists(events(), max_size=2), data=st.data())
    def append_again(self, process: int, before: list[Event], data: st.DataObject) -> None:
        """Stored events once more, now and then with something else in them."""
        tenant, again = data.draw(st.sampled_from([(n, one) for n in (0, 1) for one in self.of_clients(n)]))
        changes = data.draw(st.sampled_from([{}, {}, {}, {"sealed_fields": ("/n",)}, {"outcome": "failure"}]))
        self.append(process, tenant, [*before, msgspec.structs.replace(again, **changes), again])

    @precondition(lambda self: any(model.rows for model in self.models))
    @rule(process=processes, data=st.data())
    def claim_an_id_of_the_servers(self, process: int, data: st.DataObject) -> None:
        """What has the id of an event that came without one is refused, were it the same."""
        made = [
            (n, msgspec.structs.replace(row.event, event_id=row.receipt.event_id))
            for n, model in enumerate(self.models)
            for row in model.rows
            if row.event and row.event.event_id is None
        ]
        if made:
            tenant, event = data.draw(st.sampled_from(made))
            self.append(process, tenant, [event])

    def meet(self, tenant: int, batch: Sequence[Event]) -> Model:
        self.models[tenant].meet(batch)
        self.is_newly_wrapped = False
        return self.models[tenant]

    def of_clients(self, tenant: int) -> list[Event]:
        model = self.models[tenant]
        return [row.event for row in model.rows if row.event and row.event.event_id in model.client_ids]

    # ------------------------------------------------------------------ as the server stores

    @rule(
        process=processes,
        tenant=tenants,
        key=st.sampled_from([None, "k 1", "k 2", "k 3"]),
        batch=batches(),
    )
    def post(self, process: int, tenant: int, key: str | None, batch: list[Event]) -> None:
        self.write(process, [(tenant, key, batch)])

    @precondition(lambda self: any(model.answers for model in self.models))
    @rule(process=processes, data=st.data())
    def post_again(self, process: int, data: st.DataObject) -> None:
        known = [(n, key) for n, model in enumerate(self.models) for key in sorted(model.answers)]
        tenant, key = data.draw(st.sampled_from(known))
        self.write(process, [(tenant, key, self.models[tenant].answers[key][0])])

    @rule(process=processes, writes=st.lists(st.tuples(tenants, events()), min_size=2, max_size=4))
    def flush(self, process: int, writes: list[tuple[int, Event]]) -> None:
        """Single events of both tenants in one transaction, no id twice, as group commit puts them together."""
        distinct = {(tenant, event.event_id or number): event for number, (tenant, event) in enumerate(writes)}
        self.write(process, [(tenant, None, [event]) for (tenant, _), event in distinct.items()])

    def write(self, process: int, writes: Sequence[tuple[int, str | None, list[Event]]]) -> None:
        receipts: dict[int, Sequence[Receipt]] = {}
        for tenant, _, batch in writes:
            self.meet(tenant, batch)
        if len(writes) == 1 and len(writes[0][2]) > 1:
            outcomes: Sequence[Answer | Exception] = [self.store_batch(process, *writes[0], receipts)]
        else:
            singles = [self.single(process, place, writes, receipts) for place in range(len(writes))]
            outcomes = store(self.database, singles)
        stored = []
        for place, ((tenant, key, batch), outcome) in enumerate(zip(writes, outcomes, strict=True)):
            model = self.models[tenant]
            if key and key in model.answers:
                asked, answer = model.answers[key]
                if asked == batch:
                    assert outcome == answer
                else:
                    assert isinstance(outcome, RequestError)
                    assert outcome.status == 409
            elif model.is_conflict(batch) or has_repeats_that_differ(batch):
                assert isinstance(outcome, ConflictError)
            else:
                assert isinstance(outcome, Answer), outcome
                # Those that clashed are stored after the others, so receipts say in which order they came.
                stored.append((tenant, max(receipt.seq for receipt in receipts[place]), place))
                if key:
                    model.answers[key] = (batch, outcome)
        for tenant, _, place in sorted(stored):
            self.models[tenant].accept(writes[place][2], receipts[place])

    def single(
        self,
        process: int,
        place: int,
        writes: Sequence[tuple[int, str | None, list[Event]]],
        receipts: dict[int, Sequence[Receipt]],
    ) -> EventWrite:
        tenant, key, [event] = writes[place]
        tenant_id = self.models[tenant].tenant_id
        prepare = partial(self.processes[process].ledger.prepare, tenant_id, event)

        def answer(receipt: Receipt) -> Answer:
            return self.answer(receipts, place, [receipt])

        return EventWrite(tenant_id, event, datetime.now(UTC), 0, request_key(tenant_id, key, [event]), answer, prepare)

    def store_batch(
        self, process: int, tenant: int, key: str | None, batch: list[Event], receipts: dict[int, Sequence[Receipt]]
    ) -> Answer | Exception:
        tenant_id = self.models[tenant].tenant_id

        def begin(stale: int | None) -> Batch:
            return self.processes[process].ledger.batch(tenant_id, batch, stale=stale)

        request = request_key(tenant_id, key, batch)
        try:
            return store_batch(self.database, begin, request, tenant_id, partial(self.answer, receipts, 0))
        except AuditError as error:
            return error

    @staticmethod
    def answer(receipts: dict[int, Sequence[Receipt]], place: int, given: Sequence[Receipt]) -> Answer:
        receipts[place] = given
        return Answer(201, json.dumps([receipt.row_hash.hex() for receipt in given]), "/somewhere")

    # ------------------------------------------------------------------ erasing

    @precondition(lambda self: any(model.living for model in self.models))
    @rule(process=processes, tenant=tenants, person=st.sampled_from(sorted(PEOPLE)), spelt=st.sampled_from(SPELLINGS))
    def erase(self, process: int, tenant: int, person: str, spelt: str) -> None:
        model, name = self.models[tenant], spelt.format(person.upper())
        if person not in model.living:
            if model.life(person):
                again = self.processes[process].erase(model.tenant_id, name)
                assert (again.actor_ref, again.receipt) == (model.refs[person, model.life(person) - 1], None)
            else:
                with pytest.raises(ValidationError):
                    self.processes[process].erase(model.tenant_id, name)
            return
        erasure = self.processes[process].erase(model.tenant_id, name)
        assert model.refs.setdefault((person, model.life(person)), erasure.actor_ref) == erasure.actor_ref
        model.living.remove(person)
        model.lives[person] = model.life(person) + 1
        assert erasure.receipt
        model.remember(None, erasure.receipt)
        assert [one.vault.find(model.tenant_id, person) for one in self.processes] == [None, None]

    @precondition(lambda self: any(model.lives for model in self.models))
    @rule(process=processes, data=st.data())
    def erase_again(self, process: int, data: st.DataObject) -> None:
        gone = [
            (n, ref)
            for n, model in enumerate(self.models)
            for (person, life), ref in model.refs.items()
            if life < model.life(person)
        ]
        tenant, ref = data.draw(st.sampled_from(gone))
        erasure = self.processes[process].erase(self.models[tenant].tenant_id, str(ref))
        assert (erasure.actor_ref, erasure.receipt) == (ref, None)

    @precondition(lambda self: any(model.refs for model in self.models))
    @rule(process=processes, tenant=tenants)
    def read_names(self, process: int, tenant: int) -> None:
        model = self.models[tenant]
        with self.database.tenant_connection(model.tenant_id) as conn:
            names = self.processes[process].vault.identities(conn, model.refs.values())
        assert {ref: identity(name) for ref, name in names.items()} == {
            ref: "erased" if life < model.life(person) else person for (person, life), ref in model.refs.items()
        }

    # ------------------------------------------------------------------ sealing and keys

    @precondition(lambda self: any(model.rows for model in self.models))
    @rule(process=processes, tenant=tenants)
    def seal(self, process: int, tenant: int) -> None:
        model = self.models[tenant]
        checkpoint = self.processes[process].seal(model.tenant_id)
        if len(model.rows) == model.sealed:
            assert checkpoint is None
            return
        assert checkpoint
        assert (checkpoint.size, checkpoint.root) == (len(model.rows), root(self.leaves(model)))
        assert checkpoint.chain_head == model.rows[-1].receipt.row_hash
        model.checkpoints.append(checkpoint)
        self.is_newly_signed = False

    def leaves(self, model: Model) -> list[bytes]:
        return [
            leaf_hash(model.tenant_id, seq, row.receipt.recorded_at, entry)
            for seq, (row, entry) in enumerate(zip(model.rows, model.entries, strict=True))
        ]

    # Without the conditions half of all steps would change a key that was not used yet.
    @precondition(lambda self: not self.is_newly_signed)
    @rule(process=processes)
    def rotate_signing_key(self, process: int) -> None:
        """One process is started again; the other signs with the key it has, and that is valid too."""
        rotate_signing_key(self.settings)
        self.is_newly_signed = True
        self.processes[process] = self.opened()

    @precondition(lambda self: not self.is_newly_wrapped)
    @rule()
    def rotate_encryption_key(self) -> None:
        rotation = rotate_encryption_key(self.settings, self.database)
        self.is_newly_wrapped = True
        wrapped = sum(len(model.living) + model.has_key for model in self.models)
        assert (rotation.rewrapped, rotation.former_destroyed) == (wrapped, True)

    # ------------------------------------------------------------------ proving

    @precondition(lambda self: any(model.rows for model in self.models))
    @rule(process=processes, seals=st.sampled_from([True, True, False]), discloses=st.booleans(), data=st.data())
    def prove(self, process: int, seals: bool, discloses: bool, data: st.DataObject) -> None:
        """Prove some events; who does not wait for their checkpoint is refused."""
        installation = self.processes[process]
        tenant = data.draw(st.sampled_from([n for n in (0, 1) if self.models[n].rows]))
        model = self.models[tenant]
        if seals:
            self.seal(process, tenant)
        chosen = data.draw(st.lists(st.integers(0, len(model.rows) - 1), min_size=1, max_size=3, unique=True))
        ids = [model.rows[seq].receipt.event_id for seq in chosen]
        addresses = {
            seq: model.rows[seq] for seq in sorted(chosen) if (event := model.rows[seq].event) and event.ip_address
        }
        discloser = Discloser(self.database, installation.vault, ["/ip_address"]) if discloses else None
        prove = partial(
            evidence_for, self.database, model.tenant_id, ids, *installation.verifier_keys, discloser=discloser
        )
        gone = [one for one in addresses.values() if one.event and one.life < model.life(one.event.actor)]
        if max(chosen) >= model.sealed or (discloses and (gone or not addresses)):
            with pytest.raises(ValidationError):
                prove()
            return
        document = prove()
        key = signed_by(document)
        assert key in self.keys_seen
        assert verify_evidence.verify(document, key)
        file = json.loads(document)
        assert [(one["seq"], one["row_hash"], base64.b64decode(one["entry"])) for one in file["entries"]] == [
            (seq, model.rows[seq].receipt.row_hash.hex(), model.entries[seq]) for seq in sorted(chosen)
        ]
        assert [(one["seq"], one["plaintext"]) for one in file["disclosures"]] == (
            [(seq, one.event.ip_address) for seq, one in addresses.items() if one.event] if discloses else []
        )
        self.evidence.append((document, key))

    @precondition(lambda self: bool(self.evidence))
    @rule(data=st.data())
    def check_former_evidence(self, data: st.DataObject) -> None:
        document, key = self.evidence[data.draw(st.integers(0, len(self.evidence) - 1))]
        assert verify_evidence.verify(document, key)

    @precondition(lambda self: any(model.checkpoints for model in self.models))
    @rule(process=processes, data=st.data())
    def verify_since_a_checkpoint(self, process: int, data: st.DataObject) -> None:
        model = self.models[data.draw(st.sampled_from([n for n in (0, 1) if self.models[n].checkpoints]))]
        since = data.draw(st.sampled_from([EPOCH, *(one.sealed_at for one in model.checkpoints)]))
        start = max((one.size for one in model.checkpoints if one.sealed_at <= since), default=0)
        [result] = self.processes[process].verify(model.tenant_id, since=since)
        assert (result.findings, result.warnings) == ((), ())
        assert (result.first_seq, result.events) == (start, len(model.rows) - start)

    # ------------------------------------------------------------------ what is true after every step

    @invariant()
    def rows_are_as_answered(self) -> None:
        for model in self.models:
            rows = self.admin.execute(
                "select event_id, seq, recorded_at, entry_hash, prev_hash, row_hash, entry, actor_ref "
                "from audit_logs where tenant_id = %s order by seq",
                [model.tenant_id],
            ).fetchall()
            head = self.admin.execute(
                "select next_seq, head_hash from audit_chain_heads where tenant_id = %s", [model.tenant_id]
            ).fetchone()
            self.compare(model, rows)
            if rows:
                assert head == (len(rows), rows[-1][5])

    def compare(self, model: Model, rows: Sequence[Any]) -> None:
        prev = sha256(b"audit_pipelines/v1", model.tenant_id.bytes)
        assert len(rows) == len(model.rows)
        for seq, (stored, (*receipt, entry, actor_ref)) in enumerate(zip(model.rows, rows, strict=True)):
            row_hash = sha256(b"\x02", prev, leaf_hash(model.tenant_id, seq, receipt[2], entry))
            assert receipt == [receipt[0], seq, receipt[2], sha256(entry), prev, row_hash]
            assert receipt == list(msgspec.structs.astuple(stored.receipt)[:6])
            prev = row_hash
            if seq < len(model.entries):
                assert entry == model.entries[seq]
                continue
            model.entries.append(entry)
            self.look_at(model, stored, entry, actor_ref)

    @staticmethod
    def look_at(model: Model, stored: Stored, entry: bytes, actor_ref: uuid.UUID | None) -> None:
        """Look at an entry when it is new: its form, who is behind it, and that nobody's name is in it."""
        parsed = json.loads(entry)
        written = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (entry.decode(), parsed["v"], parsed["event_id"]) == (written, 1, stored.receipt.event_id)
        assert parsed["actor_ref"] == (str(actor_ref) if actor_ref else None)
        assert not [piece for piece in PEOPLE.values() if piece in written.casefold()]
        event = stored.event
        assert (actor_ref is None) is (event is None or event.actor is None)
        if event is None:
            return
        persons = [(event.actor, actor_ref)] if event.actor and actor_ref else []
        if event.entity_type == "user":
            persons.append((event.entity_id, uuid.UUID(parsed["entity_id"])))
        for name, ref in persons:
            assert model.refs.setdefault((identity(name), model.life(name)), ref) == ref
        assert len(set(model.refs.values())) == len(model.refs)

    @invariant()
    def everything_verifies(self) -> None:
        installation = self.processes[0]
        self.keys_seen |= {str(key) for one in self.processes for key in one.verifier_keys}
        results = {result.tenant_id: result for result in installation.verify()}
        assert [result for result in results.values() if result.findings or result.warnings] == []
        for model in self.models:
            if model.rows:
                result = results[model.tenant_id]
                assert (result.events, result.checkpoints) == (len(model.rows), len(model.checkpoints))
                assert result.head == model.rows[-1].receipt.row_hash

    def teardown(self) -> None:
        with self.ending:
            for document, key in self.evidence:
                assert verify_evidence.verify(document, key)
            if self.evidence:
                file = self.settings.home / "evidence.json"
                file.write_bytes(self.evidence[0][0])
                program = [sys.executable, "-I", "-S", verify_evidence.__file__, str(file)]
                done = subprocess.run(
                    [*program, "--key", self.evidence[0][1]], capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr


def test_a_ledger_keeps_its_promises(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(fresh_database, tmp_path),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
