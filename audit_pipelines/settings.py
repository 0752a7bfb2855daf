"""Every variable the product reads, typed, with its default and meaning.

The environment wins over `.env`. Nothing else in the package reads `os.environ`. Secrets are `SecretStr`, so that a
log line or a traceback never shows them. Values that must exist but may be generated live in `keyring.py`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from audit_pipelines.anchors.address import Address, is_loopback, parse_address
from audit_pipelines.errors import ConfigurationError

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
CommaSeparatedSecrets = Annotated[tuple[SecretStr, ...], NoDecode]


class Settings(BaseSettings):
    """The configuration of one process; read it with `load_settings`, which reports faults in plain words."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True
    )

    audit_home: Path = Field(default=Path(".audit"), description="Folder of everything this installation keeps.")

    database_url: SecretStr | None = Field(
        default=None, description="Postgres 16+ with pgvector; absent: an embedded server under AUDIT_HOME."
    )
    database_app_url: SecretStr | None = Field(
        default=None, description="The same database, entered as audit_app itself; absent: DATABASE_URL and SET ROLE."
    )
    database_pool_min: int = Field(default=10, ge=0, description="Connections the server keeps open.")
    database_pool_max: int = Field(default=50, ge=1, description="Connections the server opens at most.")
    database_timeout: int = Field(default=30_000, ge=1, description="Milliseconds a statement or connect may take.")
    database_ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        default=None, description="libpq's sslmode for DATABASE_URL; absent: what the URL says."
    )
    dagster_postgres_url: SecretStr | None = Field(
        default=None,
        description="Dagster's own database, scheme postgresql+psycopg2; `up` sets it for the embedded server.",
    )

    audit_anomaly_threshold: float = Field(
        default=0.7, gt=0, lt=1, description="Score at and above which an event becomes an anomaly."
    )
    audit_min_events_for_detection: int = Field(
        default=100, ge=1, description="Events a tenant must have before anomalies are reported."
    )
    audit_retention_days: int = Field(
        default=365, ge=1, description="Days after which whole months are copied to archives."
    )
    audit_auto_archive: bool = Field(default=True, description="Whether retention_job writes archives by itself.")

    audit_hash_algorithm: Literal["sha256"] = Field(
        default="sha256", description="Digest of the ledger; format 1 knows SHA-256 alone."
    )
    audit_encryption_key: SecretStr | None = Field(
        default=None, description="32 bytes, base64: wraps the keys of persons. Generated for the embedded database."
    )
    audit_former_encryption_keys: SecretStr | None = Field(
        default=None, description="Other keys that may still wrap keys of persons, in the form of the first, by commas."
    )
    audit_signing_key: SecretStr | None = Field(
        default=None,
        description="Ed25519 private key, 32 bytes, base64: signs checkpoints. Generated for the embedded database.",
    )
    audit_former_verifier_keys: CommaSeparated = Field(
        default=(), description="Verifier keys of former signing keys, whose checkpoints stay valid."
    )
    audit_tsa_certificates: Path | None = Field(
        default=None,
        description="PEM file of certificates that time-stamps are checked with: the authorities' or their issuers'.",
    )
    audit_anchors: CommaSeparatedSecrets = Field(
        default=(), description="Addresses of anchors beside AUDIT_HOME/anchors, which is always one."
    )
    audit_anchor_webhook_secret: SecretStr | None = Field(
        default=None, description="Shared secret of at least 32 bytes that signs what goes to webhook anchors."
    )
    aws_endpoint_url: str | None = Field(
        default=None, description="Object storage of an s3 anchor that is not AWS's: an https address."
    )
    aws_region: str | None = Field(default=None, description="Region of the bucket of an s3 anchor.")
    aws_access_key_id: str | None = Field(
        default=None, description="Who enters the bucket; absent: the role of the machine."
    )
    aws_secret_access_key: SecretStr | None = Field(default=None, description="What belongs to AWS_ACCESS_KEY_ID.")
    aws_session_token: SecretStr | None = Field(
        default=None, description="What belongs to an AWS_ACCESS_KEY_ID that was lent for a time."
    )
    audit_enable_access_logging: bool = Field(
        default=True, description="Whether every read is recorded in the ledger and in audit_access_log."
    )
    audit_trusted_proxies: CommaSeparated = Field(
        default=(), description="Networks of proxies whose X-Forwarded-For says where a request comes from."
    )
    audit_enable_hash_chain: bool = Field(
        default=True, description="The hash chain cannot be switched off; any other value is refused."
    )
    audit_sealed_fields: CommaSeparated = Field(
        default=("/password", "/token", "/secret", "/email", "/phone", "/ssn"),
        description="JSON pointers into details sealed under the actor's key, in every event.",
    )
    audit_person_entity_types: CommaSeparated = Field(
        default=("user", "person", "employee", "customer", "patient"),
        description="Entity types that are persons: their ids become references before hashing.",
    )
    audit_storage_url: str | None = Field(
        default=None, description="Folder for models, exports and archives; absent: AUDIT_HOME/storage."
    )

    api_base_url: str = Field(default="http://127.0.0.1:8000", description="Where clients reach the API.")
    jwt_secret: SecretStr | None = Field(
        default=None, description="HS256 secret of at least 32 bytes. Generated for the embedded database."
    )
    cors_origins: CommaSeparated = Field(
        default=(), description="Origins a browser may call the API from; absent: none."
    )

    @field_validator(
        "audit_former_verifier_keys",
        "audit_sealed_fields",
        "audit_person_entity_types",
        "audit_anchors",
        "audit_trusted_proxies",
        "cors_origins",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("audit_sealed_fields")
    @classmethod
    def _pointers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pointer in value:
            if not pointer.startswith("/"):
                raise ValueError(f"a JSON pointer starts with '/', got {pointer!r}")
        return value

    @field_validator("audit_trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError(f"expected addresses or networks like 10.0.0.0/8, got {network!r}") from None
        return value

    @field_validator("audit_anchors")
    @classmethod
    def _addresses(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        names = set()
        for place, secret in enumerate(value, start=1):
            try:
                address = parse_address(secret.get_secret_value())
            except ValueError as error:
                raise ValueError(f"address {place}: {error}") from None
            if address.name in names:
                raise ValueError(f"address {place}: expected each anchor once, got it again")
            if address.kind == "authority" and not info.data.get("audit_tsa_certificates"):
                raise ValueError(f"address {place}: a time-stamp authority needs AUDIT_TSA_CERTIFICATES as well")
            names.add(address.name)
        return value

    @field_validator("aws_endpoint_url")
    @classmethod
    def _private(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
                raise ValueError("expected https; plain http is for addresses of this machine alone")
            if "@" in parts.netloc or parts.query:
                raise ValueError("expected an address without user name, password and query")
        return value

    @field_validator("audit_enable_hash_chain")
    @classmethod
    def _chained(cls, value: bool) -> bool:
        if not value:
            raise ValueError("expected true: a ledger without its chain would prove nothing")
        return value

    @field_validator("audit_storage_url")
    @classmethod
    def _a_folder(cls, value: str | None) -> str | None:
        if value and "://" in value:
            raise ValueError("expected a folder; object storage is not supported by this version")
        return value

    @field_validator("jwt_secret", "audit_anchor_webhook_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("expected at least 32 bytes (RFC 7518 section 3.2)")
        return value

    @property
    def home(self) -> Path:
        """AUDIT_HOME as an absolute path."""
        return self.audit_home.expanduser().absolute()

    @property
    def lake_dir(self) -> Path:
        """Root of the Parquet lake."""
        return self.home / "lake"

    @property
    def storage_dir(self) -> Path:
        """Root of models, exports and archives."""
        return Path(self.audit_storage_url).expanduser().absolute() if self.audit_storage_url else self.home / "storage"

    @property
    def catalog_path(self) -> Path:
        """The DuckDB file that analysts open."""
        return self.home / "audit.duckdb"

    @property
    def keys_dir(self) -> Path:
        """Folder of generated keys, mode 0700."""
        return self.home / "keys"

    @property
    def anchors(self) -> tuple[Address, ...]:
        """The anchors of AUDIT_ANCHORS, parsed."""
        return tuple(parse_address(address.get_secret_value()) for address in self.audit_anchors)

    @property
    def anchors_dir(self) -> Path:
        """Folder of the checkpoints kept outside the database."""
        return self.home / "anchors"


def load_settings() -> Settings:
    """Read the environment and `.env`.

    Raises:
        ConfigurationError: naming each variable that is malformed and what was expected; values are not repeated,
            since any of them may be a secret.
    """
    try:
        return Settings()
    except PydanticValidationError as error:
        faults = "; ".join(
            f"{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()
        )
        raise ConfigurationError(f"configuration is malformed: {faults}") from None
