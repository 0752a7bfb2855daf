"""The commands `keys …`: parse, call, print. What they do lives in `keyring` and `encryption_rotation`.

Apart from `cli.py`, which it belongs to, because what they print is for keeping: keys and signed notes, unwrapped.
"""

from typing import Annotated

import typer
from rich.console import Console

from audit_pipelines.cli_progress import progress_bar
from audit_pipelines.installation import open_installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import load_settings

keys_app = typer.Typer(help="The keys that sign checkpoints and wrap persons' keys.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)


@keys_app.command(name="list")
def list_keys(
    notes: Annotated[
        bool, typer.Option("--notes", help="Print the signed notes of former changes, for an auditor.")
    ] = False,
) -> None:
    """Print the verifier keys of the present and of former signing keys."""
    from audit_pipelines.encryption_rotation import is_unfinished
    from audit_pipelines.keyring import open_key_ring, verifier_keys

    settings = load_settings()
    signer = open_keyring(settings).signer
    ring = open_key_ring(settings)
    rotations = ring.rotations if ring else ()
    if notes:
        print("".join(rotation.note for rotation in rotations), end="")  # noqa: T201 - what is signed must not be wrapped
        return
    retired = {rotation.retired: rotation.moment for rotation in rotations}
    unfinished = ring.unfinished if ring else None
    for key in verifier_keys(settings, signer):
        is_next = unfinished is not None and key == unfinished.successor
        state = "present" if key == signer.verifier_key else "next" if is_next else "former"
        until = f"  retired {retired[key].isoformat(timespec='seconds')}" if key in retired else ""
        print(f"{state:8}{key}{until}")  # noqa: T201 - a key must come out unwrapped
    if is_unfinished(settings):
        err.print(
            "the last rotation of the encryption key was interrupted; run `audit-pipelines keys rotate-encryption`",
            style="yellow",
        )
    if unfinished:
        err.print("the last rotation was interrupted; run `audit-pipelines keys rotate` to finish it", style="yellow")


@keys_app.command()
def rotate() -> None:
    """Replace the key that signs checkpoints; what the old one signed stays valid."""
    from audit_pipelines.keyring import rotate_signing_key

    rotation = rotate_signing_key(load_settings())
    out.print("The old private key is destroyed. Back up keys/ and give this verifier key to those who verify:")
    print(rotation.successor)  # noqa: T201 - a key must come out unwrapped


@keys_app.command(name="rotate-encryption")
def rotate_encryption() -> None:
    """Replace the master key that wraps the keys of persons; the ledger is not touched, servers go on."""
    from audit_pipelines.encryption_rotation import rotate_encryption_key

    with open_installation(load_settings()) as installation, progress_bar(err, "keys") as progress:
        task = progress.add_task("wrapping keys of persons anew", total=None)
        rotation = rotate_encryption_key(
            installation.settings, installation.database, on_rows=lambda count: progress.advance(task, count)
        )
    out.print(
        f"{rotation.rewrapped:,} keys wrapped anew; all are wrapped in master key {rotation.master_key_id} now.",
        highlight=False,
        soft_wrap=True,
    )
    if rotation.former_destroyed:
        out.print(
            "The former master key was overwritten and deleted. Back up keys/ anew and keep the former copy exactly as "
            "long as the backups of the database that were made before: they need it.",
            soft_wrap=True,
        )
    else:
        out.print(
            "Nothing needs AUDIT_FORMER_ENCRYPTION_KEYS any more but backups of the database that were made before.",
            soft_wrap=True,
        )
