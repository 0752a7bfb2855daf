"""Archives over HTTP: what there is of the tenant, and a person's approval that one be deleted.

Who approves is who holds the token; that two different persons must is kept by the database.
"""

from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archive_deletion import APPROVALS_NEEDED
from audit_pipelines.errors import ConflictError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import LegalHoldError
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.workers import Workers

ARCHIVES_PATH = "/api/admin/archives"


class Archives:
    """The handlers."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._installation = installation
        self._workers = workers
        self._access = access

    async def listing(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's archives with their state and approvals."""
        found = await self._workers.run(partial(self._list, principal))
        await self._access.record(request, principal, "archives.list", {}, len(found))
        return _json(200, {"archives": found})

    async def approve(self, request: Request, principal: Principal) -> Response:
        """Record that whoever asks approves the deletion of a month's archive."""
        month = request.path_params["month"]
        given = await self._workers.run(partial(self._approve, principal, month))
        return _json(201, {"month": month, "approvals": given, "needed": APPROVALS_NEEDED})

    def _approve(self, principal: Principal, month: str) -> int:
        try:
            return archive_deletion.approve(self._installation, principal.tenant_id, month, principal.subject)
        except LegalHoldError as error:
            raise ConflictError(str(error)) from error

    def _list(self, principal: Principal) -> list[dict[str, Any]]:
        listed = archive_deletion.list_archives(self._installation, tenant_id=principal.tenant_id)
        return [
            {
                "month": one.archive.month,
                "events": one.archive.rows,
                "first_seq": one.archive.first_seq,
                "last_seq": one.archive.last_seq,
                "bytes": one.archive.file_bytes,
                "sha256": one.archive.file_sha256.hex(),
                "state": one.state,
                "why": one.why,
                "verified_at": format_moment(one.archive.verified_at),
                "approved_by": [str(ref) for ref in one.approvers],
            }
            for one in listed
        ]


def _json(status: int, answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")
