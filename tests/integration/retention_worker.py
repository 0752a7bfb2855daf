"""A run of the retention in a process of its own, which kills itself at a named step: python retention_worker.py …"""

import os
import signal
import sys
from pathlib import Path

from audit_pipelines.db.database import Database
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archiving import retain
from audit_pipelines.installation import assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import Settings


def main(server_home: str, dbname: str, home: str, step: str) -> None:
    """Archive, drop and delete what is due, up to the step."""
    settings = Settings(_env_file=None, audit_home=Path(home), audit_archive_grace_days=0, audit_archive_years=1)
    installation = assemble(
        settings, open_keyring(settings), Database(settings, EmbeddedPostgres(Path(server_home)), dbname)
    )

    def on_step(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    retain(installation, run_id="a killed run", on_step=on_step)
    archive_deletion.mark_due(installation)
    archive_deletion.delete_approved(installation, on_step=on_step)


if __name__ == "__main__":
    main(*sys.argv[1:])
