"""What leaves for somebody else's model: an embedding server on this machine, and what it is sent of personal data."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from pydantic import SecretStr

from audit_pipelines.derive.embedders import default_embedder
from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from tests.integration.embedding_servers import KEY, Embeddings, embedding_server

PERSONAL = (
    "alice.quist", "quist", "bob.berg", "halden.example", "192.0.2.77", "2001:db8", "198.18.4.4", "555 0100", "sesame",
    "1984-02-29", "rosenstrasse", "4711-0815", "9f2c7a10", "akiaiosfodnn7example", "ghp_16c7e42f", "eyjhbgci",
    "arn:aws:iam", "123456789012", "wjalrxutnfemi", "i-0abc1234", "sha256:9b1d", "de89370400440532013000",
)  # fmt: skip


@pytest.fixture
def answers() -> Iterator[Embeddings]:
    with embedding_server() as answers:
        yield answers


def test_an_embedding_server_is_sent_nothing_personal(
    installation: Installation, answers: Embeddings, tenant_id: uuid.UUID
) -> None:
    details = {
        "by": "alice.quist@halden.example",
        "name": "Alice Quist",
        "email": "bob.berg@halden.example",
        "free": "Bob Berg of Rosenstrasse 7, born 1984-02-29, called +1 555 0100 from 198.18.4.4 and 2001:db8::7",
        "nested": {"list": ["alice.quist", {"card": "4711-0815", "password": "open sesame"}]},
        "alice.quist": {"enabled": True},
        "session": "9f2c7a10-11aa-4bbb-8ccc-0123456789ab",
        "reason": "bob.berg asked",
        "force": True,
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
        "arn": "arn:aws:iam::123456789012:user/alice.quist",
        "instances": ["i-0abc1234", "sha256:9b1d"],
        "iban": "DE89370400440532013000",
        "requestParameters": {"userName": "alice.quist", "policyArn": "arn:aws:iam::123456789012:policy/quist"},
    }
    entities = [("user", "bob.berg@halden.example"), ("folder", "home/alice.quist"), ("host", "192.0.2.77")]
    labels = (
        "user.password.changed",
        "iam:DeleteUser",
        "export of bob.berg@halden.example",
        "open arn:aws:iam::123456789012:user/alice.quist",
        "visit https://people.halden.example/alice.quist",
        "seen at 198.18.4.4 by 9f2c7a10-11aa-4bbb-8ccc-0123456789ab",
    )
    installation.ledger.append(
        tenant_id,
        [
            Event(
                event_type=event_type,
                entity_type=entity_type,
                entity_id=entity_id,
                actor="alice.quist@halden.example",
                ip_address="192.0.2.77",
                user_agent="sync of alice.quist",
                outcome="failure",
                details=details,
            )
            for event_type in labels
            for entity_type, entity_id in entities
        ],
    )
    refs = [str(installation.vault.find(tenant_id, who)) for who in ("alice.quist@halden.example", entities[0][1])]
    today = date.today()  # noqa: DTZ011 - a window that holds the day in any zone
    export_window(installation, today - timedelta(days=1), today + timedelta(days=2), run_id="test")
    chosen = installation.settings.model_copy(update={"openai_api_key": SecretStr(KEY), "openai_base_url": answers.url})
    answers.dimension = 1536
    outgoing = replace(installation, settings=chosen)
    [done] = update_embeddings(outgoing, default_embedder(outgoing), run_id="test")
    assert done.new_events == 18
    sent = str(answers.server.requests).lower()
    assert "password" in sent, "or nothing was sent"
    assert [word for word in (*PERSONAL, *refs, str(tenant_id)) if word in sent] == []
