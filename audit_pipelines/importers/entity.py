"""What a CloudTrail record acted upon, read from one table.

The table is the whole knowledge; a service that is missing gets the generic rows, then the record's `resources`, then
the account. Users and roles come out as ARNs, the spelling they have as actors, so that one person is one reference.
"""

from typing import Any

from audit_pipelines.importers.identity import partition, text_at

# Per service, first hit wins: parameter (dots descend, the first of a list is taken) and kind of entity.
# `>` reads responseElements instead of requestParameters. Names are compared without case.
_RULES: dict[str, str] = {
    "iam": """
        userName user, roleName role, groupName group, policyArn policy, policyName policy,
        instanceProfileName instance_profile, sAMLProviderArn identity_provider,
        openIDConnectProviderArn identity_provider, >accessKey.userName user, serialNumber mfa_device
    """,
    "sts": "roleArn role, name federated_session",
    "s3": "bucketName bucket",
    "ec2": """
        instanceId instance, instancesSet.items.instanceId instance, instancesSet.item.instanceId instance,
        >instancesSet.items.instanceId instance, DescribeInstanceCreditSpecificationsRequest.InstanceId instance,
        snapshotId snapshot, imageId image, volumeId volume, volumeSet.items.volumeId volume,
        groupId security_group, groupName security_group, networkAclId network_acl, routeTableId route_table,
        DeleteFlowLogsRequest.FlowLogId flow_log, CreateFlowLogsRequest.ResourceId vpc, internetGatewayId gateway,
        natGatewayId gateway, vpcPeeringConnectionId vpc_peering, vpcId vpc, subnetId subnet, keyName key_pair
    """,
    "ssm": """
        instanceId instance, instanceIds instance, target instance, sessionId session, commandId command,
        documentName document, names parameter, name parameter, path parameter
    """,
    "secretsmanager": "secretId secret, secretIdList secret, name secret",
    "cloudtrail": "name trail, trailName trail, trailNameList trail, eventDataStore event_data_store",
    "lambda": "functionName function, layerName layer, uuid event_source_mapping",
    "kms": "keyId key, aliasName key, >keyMetadata.keyId key",
    "rds": """
        dBInstanceIdentifier db_instance, dBClusterIdentifier db_cluster, dBSnapshotIdentifier db_snapshot,
        dBClusterSnapshotIdentifier db_snapshot
    """,
    "bedrock": "modelId model, >modelId model, guardrailIdentifier guardrail",
    "eks": "name cluster, clusterName cluster",
    "ecs": "cluster cluster, taskDefinition task_definition",
    "rolesanywhere": ">trustAnchor.trustAnchorArn trust_anchor, >profile.profileArn profile",
    "route53resolver": "resolverQueryLogConfigId query_log_config",
    "route53": "hostedZoneId hosted_zone",
    "guardduty": "detectorId detector",
    "config": "configurationRecorderName recorder, deliveryChannelName delivery_channel, configRuleName config_rule",
    "organizations": "accountId account, policyId policy, >createAccountStatus.accountId account",
    "cognito-idp": "username user, userPoolId user_pool",
    "autoscaling": "autoScalingGroupName autoscaling_group",
    "wafv2": "name web_acl",
}
_GENERIC = """
    bucketName bucket, functionName function, instanceId instance, secretId secret, keyId key, tableName table,
    roleArn role, roleName role, topicArn topic, queueUrl queue, queueName queue, streamName stream,
    stackName stack, logGroupName log_group, repositoryName repository, clusterIdentifier cluster,
    clusterName cluster, domainName domain, projectName project, pipelineName pipeline, userPoolId user_pool,
    restApiId api, apiId api, fileSystemId file_system, loadBalancerArn load_balancer,
    loadBalancerName load_balancer, targetGroupArn target_group, certificateArn certificate, hubArn hub,
    detectorId detector, vaultName vault, backupVaultName vault, workGroup work_group, resourceArn resource
"""


def _compile(rules: str) -> tuple[tuple[bool, tuple[str, ...], str], ...]:
    rows = (row.split() for row in rules.replace("\n", " ").split(",") if row.strip())
    return tuple((path.startswith(">"), tuple(path.lstrip(">").lower().split(".")), kind) for path, kind in rows)


_GENERIC_TABLE = _compile(_GENERIC)
_TABLE = {service: _compile(rules) for service, rules in _RULES.items()}


def entity_of(record: dict[str, Any], service: str, actor: str | None) -> tuple[str, str]:
    """Return `(entity_type, entity_id)` of a CloudTrail record; of several entities of a kind the first."""
    identity = record.get("userIdentity")
    account = text_at(record, "recipientAccountId") or text_at(identity, "accountId")
    request, response = _lowered(record.get("requestParameters")), _lowered(record.get("responseElements"))
    for from_response, path, kind in (*_TABLE.get(service, ()), *_GENERIC_TABLE):
        told = response if from_response else request
        if path[0] in told and (found := _descend(told, path)):
            if kind in ("user", "role") and service != "cognito-idp":
                return kind, _as_arn(kind, found, record, actor, account)
            return kind, found
    resources = record.get("resources")
    for resource in resources if isinstance(resources, list) else ():
        if arn := text_at(resource, "ARN") or text_at(resource, "arn"):
            return _kind_of_arn(arn, text_at(resource, "type")), arn
    return ("account", account) if account else ("service", service)


def _lowered(value: Any) -> dict[str, Any]:
    """Return an object with its names in lower case: `instanceId` in one service is `InstanceId` in another."""
    return {name.lower(): item for name, item in value.items()} if isinstance(value, dict) else {}


def _descend(lowered: dict[str, Any], path: tuple[str, ...]) -> str | None:
    """Follow `path`; XML-born services wrap a text as `{"tag": 1, "content": text}`."""
    value = _first(lowered.get(path[0]))
    for key in path[1:]:
        value = _first(_lowered(value).get(key))
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _first(value: Any) -> Any:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _as_arn(kind: str, name: str, record: dict[str, Any], actor: str | None, account: str | None) -> str:
    if name.startswith("arn:") or not account:
        return name
    # A path stands in an ARN but not in a name: take the ARN where the record itself has it.
    if actor and actor.startswith("arn:") and f":iam::{account}:{kind}/" in actor and actor.endswith(f"/{name}"):
        return actor
    told = text_at(record.get("responseElements"), kind, "arn")
    region = text_at(record, "awsRegion")
    return told or f"arn:{partition(record.get('userIdentity'), region)}:iam::{account}:{kind}/{name}"


def _kind_of_arn(arn: str, declared: str | None) -> str:
    """Name a resource's kind: `AWS::S3::Bucket` → bucket, `arn:…:secret:name` → secret, else the service's name."""
    if declared:
        word = declared.rsplit("::", 1)[-1]
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(word))
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return "resource"
    kind, separator, _ = parts[5].replace("/", ":").partition(":")
    return kind if separator and kind else parts[2] or "resource"
