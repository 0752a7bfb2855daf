"""What leaves for somebody else's model: an embedding server on this machine, and what it is sent of personal data."""

import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Vectors
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event

PERSONAL = (
    "alice.quist", "quist", "bob.berg", "halden.example", "192.0.2.77", "2001:db8", "198.18.4.4", "555 0100", "sesame",
    "1984-02-29", "rosenstrasse", "4711-0815", "9f2c7a10",
)  # fmt: skip


class _Server(ThreadingHTTPServer):
    received: list[bytes]


class _Handler(BaseHTTPRequestHandler):
    """Answers as `POST /v1/embeddings` of the OpenAI interface does, and keeps all that came."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, _Server)
        server.received.append(self.path.encode() + str(self.headers).encode() + body)
        count = len(json.loads(body)["input"])
        answer = json.dumps({"data": [{"index": place, "embedding": [0.6, 0.8]} for place in range(count)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
        return


class _RemoteEmbedder:
    name, dimension, digest = "remote", 2, "0" * 64

    def __init__(self, url: str) -> None:
        self._url = url

    def encode(self, texts: Sequence[str]) -> Vectors:
        body = {"model": self.name, "input": list(texts)}
        answer = httpx.post(f"{self._url}/v1/embeddings", json=body, trust_env=False).json()
        return np.array([one["embedding"] for one in answer["data"]], dtype=np.float32)


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_embedding_server_is_sent_nothing_personal(
    installation: Installation, server: _Server, tenant_id: uuid.UUID
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
    }
    entities = [("user", "bob.berg@halden.example"), ("folder", "home/alice.quist"), ("host", "192.0.2.77")]
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
            for event_type in ("user.password.changed", "iam:DeleteUser", "export of bob.berg@halden.example")
            for entity_type, entity_id in entities
        ],
    )
    refs = [str(installation.vault.find(tenant_id, who)) for who in ("alice.quist@halden.example", entities[0][1])]
    today = date.today()  # noqa: DTZ011 - a window that holds the day in any zone
    export_window(installation, today - timedelta(days=1), today + timedelta(days=2), run_id="test")
    embedder = _RemoteEmbedder(f"http://127.0.0.1:{server.server_port}")
    [done] = update_embeddings(installation, embedder, run_id="test")
    assert done.new_events == 9
    sent = b"\n".join(server.received).lower()
    assert b"password" in sent, "or nothing was sent"
    assert [word for word in (*PERSONAL, *refs, str(tenant_id)) if word.encode() in sent] == []
