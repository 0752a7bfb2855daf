"""Another folder as an anchor: a mounted disk or share of somebody else's, in the format of the home's anchor files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.ledger.checkpoint import AnchorLog, FileAnchor, tenant_of


@dataclass(frozen=True, slots=True)
class FolderAnchor:
    """Appends each note to its tenant's file unless that ends with it already."""

    name: str
    directory: Path

    def publish(self, note: str) -> None:
        """Have `note` on disk when this returns.

        Raises:
            AnchorUnavailableError: when the folder cannot be written.
        """
        try:
            if not self._ends_with(note):
                FileAnchor(self.directory).publish(note)
        except OSError as error:
            raise AnchorUnavailableError(f"the folder cannot be written: {error.strerror}") from error

    def read_all(self, known: Mapping[str, str]) -> dict[UUID, AnchorLog]:  # noqa: ARG002 - others need it
        """Return what is kept there, by tenant; a file that cannot be read is named in its tenant's log.

        Raises:
            AnchorUnavailableError: when the folder cannot be read, a missing one included.
        """
        files = FileAnchor(self.directory)
        try:
            # Listed for the error's sake: a folder that cannot be listed looks empty to `glob`.
            next(self.directory.iterdir(), None)
            tenants = files.tenants()
        except FileNotFoundError:
            raise AnchorUnavailableError("the folder is missing") from None
        except OSError as error:
            raise AnchorUnavailableError(f"the folder cannot be read: {error.strerror}") from error
        return {tenant_id: _read(files, tenant_id) for tenant_id in tenants}

    def _ends_with(self, note: str) -> bool:
        # The tail alone: a file of one year has 100,000 notes.
        wanted = note.encode()
        try:
            with (self.directory / f"{tenant_of(note)}.notes").open("rb") as file:
                end = file.seek(0, 2)
                file.seek(max(0, end - len(wanted)))
                return file.read() == wanted
        except FileNotFoundError:
            return False


def _read(files: FileAnchor, tenant_id: UUID) -> AnchorLog:
    try:
        return files.read(tenant_id)
    except OSError as error:
        return AnchorLog((), (), unread=(f"the file of tenant {tenant_id} could not be read: {error.strerror}",))
