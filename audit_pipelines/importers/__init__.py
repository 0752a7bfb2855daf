"""Reading other products' audit logs into events.

`source` finds and splits files, one module per format maps a record to an `Event`, `run` stores them through the
ledger's `append`, `preview` only counts. Nothing here knows the database, Dagster or HTTP; whoever starts an import
passes `append` in.
"""

from collections.abc import Mapping
from types import MappingProxyType

from audit_pipelines.importers import cloudtrail, github, guessing, kubernetes, ndjson, ocsf, office365, okta
from audit_pipelines.importers.run import Parse

FORMATS: Mapping[str, Parse] = MappingProxyType(
    {
        "cloudtrail": cloudtrail.parse,
        "github": github.parse,
        "json": guessing.parse,
        "kubernetes": kubernetes.parse,
        "ndjson": ndjson.parse,
        "ocsf": ocsf.parse,
        "office365": office365.parse,
        "okta": okta.parse,
    }
)
"""Every format that can be imported, by the name a user types; `json` also takes a map (`map_file.load_map`)."""
