"""Writing down who read accounts, signatures and reviews, before they are answered."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from psycopg.types.json import Jsonb
from starlette.requests import Request

from audit_pipelines.db.queries import query
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.workers import Workers, busy


class ReadLog:
    """Records reads in `audit_access_log`."""

    def __init__(self, installation: Installation, workers: Workers) -> None:
        self._database = installation.database
        self._vault = installation.vault
        self._enabled = installation.settings.audit_enable_access_logging
        self._workers = workers

    async def record(
        self, _: Request, principal: Principal, action: str, filters: Mapping[str, Any], result_count: int
    ) -> None:
        """Store the read; returns when it is durable, and the answer may go out."""
        if self._enabled:
            await self._workers.run(partial(self._record, principal, action, filters, result_count))

    def hashed(self, principal: Principal, text: str) -> str:
        """Return what stands for a word that found nothing, which may be a name."""
        key = self._vault.tenant_key(principal.tenant_id)
        return "hmac-sha256:" + sealing.keyed_hash(key, "access-log", text.encode())[:16].hex()

    def _record(self, principal: Principal, action: str, filters: Mapping[str, Any], result_count: int) -> None:
        tenant_id = principal.tenant_id
        for _ in range(2):
            reader = self._vault.keys(tenant_id, [principal.subject]).subjects[principal.subject]
            row = {
                "tenant_id": tenant_id,
                "subject_ref": reader.ref,
                "action": action,
                "filters": Jsonb(filters),
                "result_count": result_count,
            }
            with self._database.tenant_connection(tenant_id) as conn:
                if conn.execute(query("server/insert_access"), row).rowcount:
                    return
            # The reader was erased since this process learnt their reference.
            self._vault.forget(tenant_id)
        raise busy()
