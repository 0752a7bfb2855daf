"""Events that arrive together: each is stored once, answered truly, and nobody pays for a neighbour's fault."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import pytest
from test_server_running import Api

from audit_pipelines.errors import ValidationError

pytest_plugins = ["test_server_running"]

EVENTS = "/api/audit/events"
WRITERS = 16
EACH = 25


def body(number: int, **more: object) -> dict[str, object]:
    return {"event_type": "a.b", "entity_type": "thing", "entity_id": str(number), **more}


def test_every_answered_event_is_there_once(api: Api) -> None:
    tenants = [uuid4() for _ in range(4)]
    stored: Counter[UUID] = Counter()
    codes: Counter[int] = Counter()

    def write(writer: int) -> None:
        for number in range(EACH):
            tenant = tenants[(writer + number) % len(tenants)]
            # Every fifth asks for an id that others ask for with other content: only one of them may have it.
            clash = {"event_id": f"shared-{number}", "action_details": {"writer": writer}} if number % 5 == 0 else {}
            answer = clients[tenant].post(EVENTS, json=body(number, **clash))
            codes[answer.status_code] += 1
            stored[tenant] += answer.status_code == 201

    clients = {tenant: api.client(tenant, "audit:write") for tenant in tenants}
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert set(codes) == {201, 409}
    results = api.installation.verify()
    assert {result.tenant_id: result.events for result in results} == dict(stored)
    assert [result.findings for result in results] == [()] * len(tenants)


def test_a_key_gets_its_first_answer_however_often_it_comes(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id, "audit:write")

    def post(_: int) -> httpx.Response:
        return client.post(EVENTS, json=body(1), headers={"Idempotency-Key": "once"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert api.count(tenant_id) == 1


def test_a_key_with_another_body_is_a_conflict(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id, "audit:write")
    headers = {"Idempotency-Key": "once"}
    assert client.post(EVENTS, json=body(1), headers=headers).status_code == 201
    assert client.post(EVENTS, json=body(2), headers=headers).status_code == 409
    batch = client.post(f"{EVENTS}/batch", json=[body(3), body(4)], headers={"Idempotency-Key": "batch"})
    again = client.post(f"{EVENTS}/batch", json=[body(3), body(4)], headers={"Idempotency-Key": "batch"})
    assert (batch.status_code, batch.content) == (again.status_code, again.content)
    assert api.count(tenant_id) == 3


def test_a_flush_that_the_loop_cannot_seal_is_stored_by_the_threads(
    api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api.client(tenant_id, "audit:write")
    asked: list[UUID] = []

    def unknown(tenant: UUID, _: object) -> None:
        asked.append(tenant)

    def faulty(tenant: UUID, _: object) -> None:
        asked.append(tenant)
        raise ValidationError("a neighbour's fault")

    assert client.post(EVENTS, json=body(0)).status_code == 201
    for number, refuse in enumerate((unknown, faulty), 1):
        monkeypatch.setattr(api.installation.ledger, "prepare_at_once", refuse)
        assert client.post(EVENTS, json=body(number)).status_code == 201
    assert asked == [tenant_id, tenant_id]
    assert api.count(tenant_id) == 3


@pytest.mark.parametrize("key", ["", "ä", "x" * 256])
def test_a_malformed_key_is_refused(api: Api, tenant_id: UUID, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = api.client(tenant_id, "audit:write").post(EVENTS, json=body(1), headers=headers)
    assert answer.status_code == 400
    assert api.count(tenant_id) == 0
