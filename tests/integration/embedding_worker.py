"""A run of the embedding in a process of its own, to be killed: python embedding_worker.py …"""

import sys
from pathlib import Path

from pydantic import SecretStr

from audit_pipelines.db.database import Database
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.derive.embedders import default_embedder
from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.installation import assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import Settings
from tests.integration.embedding_servers import KEY


def main(server_home: str, dbname: str, home: str, url: str) -> None:
    """Embed what is new with the server at `url`."""
    settings = Settings(
        _env_file=None,
        audit_home=Path(home),
        openai_api_key=SecretStr(KEY),
        openai_base_url=url,
        openai_embedding_model="some-model",
        openai_embedding_batch_size=10,
        openai_max_retries=0,
    )
    database = Database(settings, EmbeddedPostgres(Path(server_home)), dbname)
    installation = assemble(settings, open_keyring(settings), database)
    update_embeddings(installation, default_embedder(installation), run_id="a killed run")


if __name__ == "__main__":
    main(*sys.argv[1:])
