"""The demo's invented company: a week of audit events with known attacks, and how to judge who finds them.

Truth never enters the events. Nothing here knows the database, HTTP or the detectors.
"""

from audit_pipelines.generator.evaluation import Evaluation, evaluate
from audit_pipelines.generator.generate import HISTORY, Generated, generate
from audit_pipelines.generator.truth import ATTACK_KINDS, AttackKind, TruthLabel, read_truth, write_truth

__all__ = [
    "ATTACK_KINDS",
    "HISTORY",
    "AttackKind",
    "Evaluation",
    "Generated",
    "TruthLabel",
    "evaluate",
    "generate",
    "read_truth",
    "write_truth",
]
