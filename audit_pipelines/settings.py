"""Every variable the product reads, typed, with its default and meaning.

The environment wins over `.env`. Nothing else in the package reads `os.environ`. Secrets are `SecretStr`, so that a
log line or a traceback never shows them. Values that must exist but may be generated live in `keyring.py`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from audit_pipelines.anchors.address import Address, is_loopback, parse_address
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.notify.email import check_address
from audit_pipelines.outgoing import Outgoing, check_url

KEY_SET_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Signatures that are checked with a public key out of a key set."""

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
        default=365, ge=1, description="Days after which whole months go to the archive and leave the database."
    )
    audit_archive_years: int = Field(
        default=7, ge=1, description="Years after which an archive may be deleted, if two persons approve."
    )
    audit_archive_grace_days: int = Field(
        default=14, ge=0, description="Days that a month stays in the database after its archive was verified."
    )
    audit_auto_archive: bool = Field(
        default=True, description="Whether retention_job archives by itself and drops from the database."
    )

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
    audit_pdf_certificate: Path | None = Field(
        default=None,
        description="PKCS#12 file of a certificate that signs PDF exports and reports; absent: they are not signed.",
    )
    audit_pdf_certificate_password: SecretStr | None = Field(
        default=None, description="What opens AUDIT_PDF_CERTIFICATE; absent: it opens without."
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
    audit_controller: str | None = Field(
        default=None,
        description="Who is responsible for the data, and their address; printed in what a person gets.",
    )
    audit_processing_purpose: str = Field(
        default="accountability and security of the systems in use (GDPR Art. 6(1)(c) and (f))",
        description="What events are kept for, and on which ground; printed in what a person gets.",
    )
    audit_processing_recipients: CommaSeparated = Field(
        default=(), description="Who else gets to see events, such as auditors; printed in what a person gets."
    )
    audit_export_batch_size: int = Field(
        default=10_000, ge=1, le=100_000, description="Events that an export reads and writes at a time."
    )
    audit_storage_url: str | None = Field(
        default=None, description="Folder for models, exports and archives; absent: AUDIT_HOME/storage."
    )

    audit_outgoing_allowed: CommaSeparated = Field(
        default=(), description="Hosts and networks that outgoing requests may reach beside the open internet."
    )

    audit_embedder: Literal["minilm", "onnx", "openai"] | None = Field(
        default=None,
        description="Who embeds texts; absent: onnx with AUDIT_EMBEDDING_MODEL_DIR, else openai with OPENAI_API_KEY, "
        "else minilm.",
    )
    audit_embedding_model_dir: Path | None = Field(
        default=None, description="Folder of a sentence model of one's own: model.onnx and tokenizer.json."
    )
    audit_embedding_pooling: Literal["mean", "cls"] | None = Field(
        default=None, description="How that model's vectors of words become one; absent: what the folder says, or mean."
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="Key of OpenAI or a compatible server; absent: nothing leaves the machine."
    )
    openai_org_id: str | None = Field(default=None, description="Organisation that OpenAI bills.")
    openai_base_url: str = Field(
        default="https://api.openai.com/v1", description="Address of OpenAI or a compatible server, up to its version."
    )
    openai_embedding_model: str = Field(
        default="text-embedding-3-small", min_length=1, description="Name of the server's embedding model."
    )
    openai_embedding_dimensions: int | None = Field(
        default=None, ge=1, le=16_000, description="Length of vectors to ask for; absent: what the model gives."
    )
    openai_embedding_batch_size: int = Field(
        default=256, ge=1, le=2048, description="Texts in one request at most; some servers take 32."
    )
    openai_embedding_price: float | None = Field(
        default=None, ge=0, description="Price of 1,000,000 tokens, in any currency; absent: tokens alone are counted."
    )
    openai_chat_model: str | None = Field(
        default=None, description="Name of the server's chat model, which words answers; absent: they are composed."
    )
    openai_max_retries: int = Field(
        default=3, ge=0, le=20, description="How often a request that failed for the moment is made again."
    )
    openai_timeout: float = Field(
        default=30, gt=0, description="Seconds that one request may take in all; an answer, with its retries."
    )

    audit_max_search_results: int = Field(
        default=1_000, ge=1, le=10_000, description="Events that one search lists at most; filters are paged on."
    )
    audit_cache_ttl: int = Field(
        default=3_600, ge=0, description="Seconds that an answer to a search is kept while nothing changes; 0: never."
    )

    smtp_host: str | None = Field(
        default=None, description="Mail server that reports and alerts are sent through; absent: no mail leaves."
    )
    smtp_port: int = Field(
        default=587, ge=1, le=65_535, description="Its port; 465 begins with TLS, every other asks for STARTTLS."
    )
    smtp_user: str | None = Field(default=None, description="Who signs in to it; absent: nobody does.")
    smtp_password: SecretStr | None = Field(default=None, description="What belongs to SMTP_USER.")
    smtp_use_tls: bool = Field(
        default=True, description="Whether mail goes under TLS alone, with the server's certificate verified."
    )
    smtp_ca_file: Path | None = Field(
        default=None, description="PEM file of issuers of its certificate to trust beside the system's."
    )
    smtp_from_address: str | None = Field(
        default=None, validate_default=True, description="Address that mail is from; needed with SMTP_HOST."
    )
    smtp_from_name: str = Field(default="audit_pipelines", max_length=100, description="Name that mail is from.")
    smtp_max_bytes: int = Field(
        default=10_000_000, ge=10_000, description="Bytes of a message, above which it has a link instead of the file."
    )

    api_base_url: str = Field(default="http://127.0.0.1:8000", description="Where clients reach the API.")
    jwt_secret: SecretStr | None = Field(
        default=None, description="HS256 secret of at least 32 bytes. Generated for the embedded database."
    )
    jwt_algorithms: CommaSeparated = Field(
        default=("HS256",), description="Signatures of tokens that are accepted; no other is ever tried."
    )
    jwt_jwks_url: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Where the public keys of an identity provider are; absent: JWT_SECRET alone.",
    )
    jwt_audience: str | None = Field(default=None, description="What `aud` of every token must name.")
    jwt_issuer: str | None = Field(default=None, description="What `iss` of every token must be.")
    audit_password_min_length: int = Field(
        default=12, ge=8, le=128, description="Characters that a local account's password has at least."
    )
    audit_password_max_age_days: int = Field(
        default=90, ge=0, description="Days after which a password must be replaced; 0: never."
    )
    audit_password_history: int = Field(
        default=4, ge=0, le=24, description="How many of an account's last passwords may not be chosen again."
    )
    audit_login_attempts: int = Field(
        default=5, ge=1, le=10, description="Wrong passwords in a row that lock an account."
    )
    audit_lockout_minutes: int = Field(default=30, ge=1, description="Minutes an account stays locked.")
    audit_session_idle_minutes: int = Field(
        default=15, ge=1, description="Minutes without a request after which a session ends."
    )
    audit_session_hours: int = Field(
        default=12, ge=1, le=168, description="Hours after which a session ends, however busy."
    )
    audit_review_due_days: int = Field(
        default=1, ge=1, description="Days after its end by which a day's review must be signed."
    )
    cors_origins: CommaSeparated = Field(
        default=(), description="Origins a browser may call the API from; absent: none."
    )
    audit_rate_limit: int = Field(
        default=200, ge=0, description="Requests a second that one subject may make, appending excepted; 0: any number."
    )
    audit_rate_limit_writes: int = Field(
        default=20_000, ge=0, description="Appending requests a second that one subject may make; 0: any number."
    )
    audit_rate_limit_refusals: int = Field(
        default=10, ge=0, description="Refused tokens a second that one address may send; 0: any number."
    )

    @field_validator(
        "audit_former_verifier_keys",
        "audit_sealed_fields",
        "audit_person_entity_types",
        "audit_processing_recipients",
        "audit_anchors",
        "audit_outgoing_allowed",
        "jwt_algorithms",
        "audit_trusted_proxies",
        "cors_origins",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url", "database_app_url", "dagster_postgres_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        # Said here without the value: libpq's messages repeat what they take for an option, a port or a host, which
        # with a password that is not percent-encoded is a part of it.
        if value is not None and not _is_conninfo(value.get_secret_value()):
            raise ValueError(
                "expected postgresql://user:password@host:port/database, with / @ : ? # % and spaces in the password "
                "percent-encoded"
            )
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

    @field_validator("audit_outgoing_allowed")
    @classmethod
    def _reachable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Outgoing.allowing(value)
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _embedding_server(cls, value: str, info: ValidationInfo) -> str:
        parts = check_url(value, "https", "http")
        host = parts.hostname or ""
        # An exception by AUDIT_OUTGOING_ALLOWED says that the network on the way is one's own.
        allowed = Outgoing.allowing(info.data.get("audit_outgoing_allowed", ()))
        if parts.scheme == "http" and not is_loopback(host) and not allowed.excepts(host):
            raise ValueError(
                "expected https; plain http is for this machine and for hosts that AUDIT_OUTGOING_ALLOWED names"
            )
        if parts.query:
            raise ValueError("expected an address without a query")
        return value.rstrip("/")

    @field_validator("smtp_use_tls")
    @classmethod
    def _no_password_in_clear(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("smtp_password") and not is_loopback(info.data.get("smtp_host") or ""):
            raise ValueError("expected true with SMTP_PASSWORD: only a server of this machine may get it in clear")
        return value

    @field_validator("smtp_from_address")
    @classmethod
    def _an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if info.data.get("smtp_host"):
                raise ValueError("expected an address, which SMTP_HOST needs")
            return None
        return check_address(value)

    @field_validator("smtp_from_name")
    @classmethod
    def _one_printable_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("expected one line without control characters")
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _known_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= {"HS256", *KEY_SET_ALGORITHMS}:
            raise ValueError(f"expected some of HS256, {', '.join(KEY_SET_ALGORITHMS)}")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _key_server(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        by_key_set = set(info.data.get("jwt_algorithms", ())) - {"HS256"}
        if value is None:
            if by_key_set:
                raise ValueError(f"expected the address of a key set, which {', '.join(sorted(by_key_set))} needs")
            return None
        parts = check_url(value.get_secret_value(), "https", "http")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("expected https; plain http is for addresses of this machine alone")
        if not by_key_set and "jwt_algorithms" in info.data:
            raise ValueError("expected JWT_ALGORITHMS to name what its keys sign with, such as RS256")
        return value

    @field_validator("jwt_audience", "jwt_issuer")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        if value is not None and value != value.strip():
            raise ValueError("expected no spaces around it")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Compared with what a browser sends, so that a slash at the end would match nothing; and "any" means everybody.
        for origin in value:
            parts = check_url(origin, "https", "http")
            if origin != f"{parts.scheme}://{parts.netloc}" or origin != origin.lower():
                raise ValueError("expected origins such as https://app.example, in lower case and without a path")
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
    def outgoing(self) -> Outgoing:
        """Which addresses outgoing requests may reach."""
        return Outgoing.allowing(self.audit_outgoing_allowed)

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
    # Outside the block: pydantic's error, which holds the values, must not even be this one's context.
    raise ConfigurationError(f"configuration is malformed: {faults}")


def _is_conninfo(text: str) -> bool:
    """Return whether libpq reads `text` as we would: no piece of a password in the place of a host, port or name."""
    try:
        parts = conninfo_to_dict(text.replace("postgresql+psycopg2://", "postgresql://", 1))
    except psycopg.Error:
        return False
    ports = str(parts.get("port") or "5432").split(",")
    names = f"{parts.get('host') or ''} {parts.get('dbname') or ''}"
    return all(port.isascii() and port.isdigit() for port in ports if port) and "@" not in names
