"""From settings to anchors: the one place that knows all kinds."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from audit_pipelines.anchors.address import Address
from audit_pipelines.anchors.authority import AuthorityAnchor, ask
from audit_pipelines.anchors.bucket import Access, BucketAnchor
from audit_pipelines.anchors.folder import FolderAnchor
from audit_pipelines.anchors.reading import Anchors
from audit_pipelines.anchors.register import OutsideAnchor
from audit_pipelines.anchors.webhook import WebhookAnchor
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.settings import Settings

HOME: Final = "home"


def open_anchors(settings: Settings) -> tuple[OutsideAnchor, ...]:
    """Return the home's anchor folder, which is always there, and those of AUDIT_ANCHORS; connects to none.

    Raises:
        ConfigurationError: when an address needs a setting that is absent.
    """
    return (FolderAnchor(HOME, settings.anchors_dir), *(_open(address, settings) for address in settings.anchors))


def readable_anchors(settings: Settings) -> Anchors:
    """Return a reading, not yet begun, of the home's anchor folder and all other anchors that can be read."""
    outside = [anchor for anchor in open_anchors(settings)[1:] if isinstance(anchor, (FolderAnchor, BucketAnchor))]
    return Anchors(settings.anchors_dir, outside)


def open_time_stamping(settings: Settings) -> Callable[[bytes], bytes] | None:
    """Return what takes a TimeStampReq to the first authority of AUDIT_ANCHORS and brings its answer, both DER.

    None where no authority is configured. What is returned raises `AnchorUnavailableError` when there is no answer.
    """
    urls = [address.target for address in settings.anchors if address.kind == "authority"]
    return partial(ask, urls[0], outgoing=settings.outgoing) if urls else None


def _open(address: Address, settings: Settings) -> OutsideAnchor:
    if address.kind == "folder":
        return FolderAnchor(address.name, Path(address.target))
    if address.kind == "bucket":
        return BucketAnchor(address.name, address.target, _access(settings), settings.outgoing)
    if address.kind == "webhook":
        secret = settings.audit_anchor_webhook_secret
        key = secret.get_secret_value().encode() if secret else None
        return WebhookAnchor(address.name, address.target, key, settings.outgoing)
    if settings.audit_tsa_certificates is None:
        raise ConfigurationError(
            "AUDIT_ANCHORS has a time-stamp authority: expected AUDIT_TSA_CERTIFICATES, got nothing"
        )
    certificates = settings.audit_tsa_certificates.expanduser()
    return AuthorityAnchor(address.name, address.target, certificates, settings.outgoing)


def _access(settings: Settings) -> Access:
    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    return Access(
        endpoint=settings.aws_endpoint_url,
        region=settings.aws_region,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        session_token=token.get_secret_value() if token else None,
    )
