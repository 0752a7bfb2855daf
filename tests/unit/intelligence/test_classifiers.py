import numpy as np
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.classifiers import RIGHT_WHERE_ANSWERED, UNKNOWN, TrainedClassifier, train
from audit_pipelines.intelligence.lessons import lessons
from audit_pipelines.intelligence.registry import ModelArtefact, load, save
from audit_pipelines.intelligence.teaching import KINDS, STRUCTURE, TextVerdict, lot, structure_features, weak_label
from audit_pipelines.intelligence.weak_labels import CATEGORIES, RISKS, verbs_of, weak_category, weak_risk

DIMENSION = 64


def hashed(texts):
    """Bag of words in a few dimensions: a stand-in for an embedding that is fast and puts shared words side by side."""
    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.replace(";", "").replace(",", "").split():
            generator = np.random.default_rng(int.from_bytes(word.encode(), "big") % 2**63)
            vectors[row] += generator.standard_normal(DIMENSION)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


THINGS = (
    "document",
    "report",
    "invoice",
    "role",
    "user",
    "firewall",
    "instance",
    "secret",
    "trail",
    "setting",
    "login",
)
ACTS = ("read", "list", "create", "update", "delete", "disable", "export", "grant")
TEXTS = [f"{thing} {act}; {thing}; {outcome}" for thing in THINGS for act in ACTS for outcome in ("success", "failure")]


def trained(kind="category_classifier", texts=TEXTS, **arguments):
    return train(kind, texts, hashed(texts), structure_features(texts), **arguments)


@pytest.mark.parametrize(
    ("text", "category", "risk"),
    [
        ("cloudtrail stop logging; trail; success", "logging_and_monitoring", "critical"),
        ("cloudtrail stop logging; trail; denied", "logging_and_monitoring", "high"),
        ("ec2 delete flow logs; network; success", "logging_and_monitoring", "critical"),
        ("cloudtrail describe trails; trail; success", "logging_and_monitoring", "low"),
        ("iam attach user policy; user; success; policy administrator access", "privilege_change", "critical"),
        ("iam put user policy; user; success", "privilege_change", "high"),
        ("s3 get bucket policy; bucket; success", "data_access", "low"),
        ("ec2 describe tags; instance; success", "compute", "low"),
        ("ec2 authorize security group ingress; group; success; any address", "network", "high"),
        ("secretsmanager get secret value; secret; success", "secrets_and_keys", "high"),
        ("user login; user; success; password", "authentication", "low"),
        ("user login; user; failure; wrong password", "authentication", "medium"),
        ("signin console login; user; success; without mfa", "authentication", "high"),
        ("mfa disabled; user; success", "authentication", "high"),
        ("patient record exported; patient record; success; rows", "data_export", "high"),
        ("ec2 modify snapshot attribute; snapshot; success; create volume permission", "data_export", "high"),
        ("invoice approve; invoice; success", "billing", "low"),
        ("document view; document; success", "data_access", "low"),
        ("document updated; document; success", "data_change", "low"),
        ("ec2 run instances; instance; success", "compute", "low"),
        ("workspace settings update; workspace; success", "configuration", "medium"),
        ("test event; test; success", "other", "low"),
        ("blorp; thing; success", None, None),
    ],
)
def test_rules_say_what_a_person_would(text, category, risk):
    assert (weak_category(text), weak_risk(text)) == (category, risk)


def test_rules_use_the_closed_sets_only():
    assert {weak_category(text) for text in TEXTS} <= {*CATEGORIES, None}
    assert {weak_risk(text) for text in TEXTS} <= {*RISKS, None}


def test_a_reading_call_does_nothing_else():
    assert verbs_of("ec2 describe tags; x; success") == {"read"}
    assert verbs_of("policies deleted; x; success") == {"delete"}


def test_structure_features_are_named_and_bounded():
    features = structure_features(["role grant; role; denied; role administrator, format csv", "blorp"])
    assert features.shape == (2, len(STRUCTURE))
    said = dict(zip(STRUCTURE, features[0].tolist(), strict=True))
    assert {name for name, value in said.items() if value == 1.0} == {
        "outcome_denied", "failed", "verb_grant", "detail_strikes", "says_administrator",
    }  # fmt: skip
    assert said["detail_phrases"] == pytest.approx(2 / 6)
    assert features[1].sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_the_rules_say(kind):
    classifier = trained(kind)
    labels, confidence = classifier.predict(hashed(TEXTS), structure_features(TEXTS))
    rules = [weak_label(kind, text) for text in TEXTS]
    answered = [(got, rule) for got, rule in zip(labels, rules, strict=True) if got != UNKNOWN and rule]
    assert len(answered) > 0.8 * len(TEXTS)
    assert np.mean([got == rule for got, rule in answered]) > 0.9
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_figures_are_of_event_types_not_seen_in_training():
    metrics = trained().metrics
    assert metrics["measured_against"] == "weak rules"
    assert metrics["held_out_texts"] == metrics["texts_labelled_by_rules"]
    assert metrics["held_out_texts"] == sum(sum(row.values()) for row in metrics["confusion"].values())
    assert 0 < metrics["macro_f1_against_rules"] <= 1
    assert metrics["agreement_with_rules"] < 1.0


def test_both_outcomes_of_one_event_type_fall_on_one_side():
    sides = {(text.split(";")[0], lot(text, 0)) for text in TEXTS}
    assert len(sides) == len(THINGS) * len(ACTS)
    assert len({side for _, side in sides}) == len(sides)


def test_equal_input_gives_an_equal_digest_whatever_its_order():
    weights = np.arange(1, len(TEXTS) + 1)
    first = trained(weights=weights).to_artefact(code_version="1")
    again = train(
        "category_classifier", TEXTS[::-1], hashed(TEXTS)[::-1], structure_features(TEXTS)[::-1], weights=weights[::-1]
    ).to_artefact(code_version="1")
    assert first.digest == again.digest
    assert first.digest != trained(weights=weights, seed=1).to_artefact(code_version="1").digest


def test_it_survives_the_registry(tmp_path):
    classifier = trained("risk_classifier")
    artefact = classifier.to_artefact(inputs_digest="ab")
    save(artefact, tmp_path)
    back = TrainedClassifier.from_artefact(load(tmp_path, "risk_classifier", artefact.digest))
    expected, got = (each.predict(hashed(TEXTS), structure_features(TEXTS)) for each in (classifier, back))
    assert expected[0] == got[0]
    np.testing.assert_array_equal(expected[1], got[1])
    assert back.metrics == classifier.metrics


def test_an_artefact_of_another_kind_is_refused():
    with pytest.raises(ValidationError, match="got anomaly_detector"):
        TrainedClassifier.from_artefact(ModelArtefact.build("anomaly_detector", {}, {}))


def test_what_is_unlike_all_that_was_learnt_is_unknown():
    strange = ["penguin waddle; bird; success", "zzz; qqq; success"]
    vectors = np.zeros((2, DIMENSION), dtype=np.float32)
    vectors[0], vectors[1] = -hashed(TEXTS[:1])[0], -hashed(TEXTS).mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for kind in KINDS:
        labels, confidence = trained(kind).predict(vectors, structure_features(strange))
        assert labels == [UNKNOWN, UNKNOWN]
        assert (confidence < 0.4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_three_events_of_one_class_make_no_oracle(kind):
    few = ["user login; user; success", "user logout; user; success", "mfa login; user; success"]
    classifier = trained(kind, few)
    labels, confidence = classifier.predict(hashed(few), structure_features(few))
    assert labels == ([UNKNOWN] * 3 if kind == "category_classifier" else ["low"] * 3)
    assert confidence.max() <= 4 / 7
    assert classifier.metrics["agreement_with_rules"] is None
    assert classifier.metrics["held_out_texts"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], ["blorp; thing; success"]])
def test_without_a_label_everything_is_unknown(kind, texts):
    classifier = trained(kind, texts)
    labels, confidence = classifier.predict(hashed(["a", "b"]), structure_features(["a", "b"]))
    assert labels == [UNKNOWN, UNKNOWN]
    assert confidence.tolist() == [0.0, 0.0]
    assert TrainedClassifier.from_artefact(classifier.to_artefact()).classes == ()


def test_two_classes_work():
    texts = ["user login; user; success", "document view; document; success"] * 2
    labels, _ = trained("category_classifier", texts).predict(hashed(texts), structure_features(texts))
    assert labels[:2] == ["authentication", "data_access"]


def test_no_rows_give_no_labels():
    labels, confidence = trained().predict(np.zeros((0, DIMENSION)), np.zeros((0, len(STRUCTURE))))
    assert (labels, len(confidence)) == ([], 0)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="expected two matrices"):
        train("risk_classifier", TEXTS, hashed(TEXTS)[:3], structure_features(TEXTS))
    with pytest.raises(ValidationError, match="as many vectors"):
        train("risk_classifier", TEXTS[:3], hashed(TEXTS), structure_features(TEXTS))
    with pytest.raises(ValidationError, match="features a row"):
        trained().predict(np.zeros((1, DIMENSION + 1)), np.zeros((1, len(STRUCTURE))))


LESSON_VECTORS = hashed([each.text for each in lessons()])


def judged(count, verdict, analysts):
    """So many events of every text judged alike; one person's weigh 100 together, as `derive.verdicts` has it."""
    share = 100 / (count * len(TEXTS)) if analysts == 1 else 1.0
    return [TextVerdict(text, verdict, count * share, analysts) for text in TEXTS]


def test_a_flood_of_verdicts_by_one_person_moves_little():
    """1,000 events of every text called harmless: harm moves by less than 0.12 anywhere, and by 0.04 on average."""
    vectors, structure = hashed(TEXTS), structure_features(TEXTS)
    before = trained("risk_classifier", lesson_vectors=LESSON_VECTORS)
    flooded = trained("risk_classifier", lesson_vectors=LESSON_VECTORS, verdicts=judged(1000, "false_positive", 1))
    moved = np.abs(before.harm(vectors, structure) - flooded.harm(vectors, structure))
    assert 0 < moved.mean() < 0.04
    assert moved.max() < 0.12
    assert flooded.metrics["texts_with_verdicts"] == len(TEXTS)


def test_what_two_persons_say_counts():
    text = "report export; report; success"
    row = [TEXTS.index(text)]
    vectors, structure = hashed(TEXTS)[row], structure_features([text])
    milder = [TextVerdict(text, "false_positive", 20.0, 2)]
    before = trained("risk_classifier").harm(vectors, structure)[0]
    assert trained("risk_classifier", verdicts=milder).harm(vectors, structure)[0] < before - 0.2
    alone = [TextVerdict(text, "false_positive", 20.0, 1)]
    assert trained("risk_classifier", verdicts=alone).harm(vectors, structure)[0] > before - 0.2


def test_verdicts_teach_no_category():
    first, second = trained(), trained(verdicts=judged(5, "true_positive", 3))
    assert first.to_artefact().digest == second.to_artefact().digest


def test_the_confidence_that_an_answer_needs_is_chosen_on_held_out_texts():
    classifier = trained("risk_classifier")
    table = classifier.metrics["coverage"]
    assert [row["share_answered"] for row in table] == sorted((row["share_answered"] for row in table), reverse=True)
    enough = [row["confidence"] for row in table if row["agreement"] >= RIGHT_WHERE_ANSWERED["risk_classifier"]]
    assert classifier.threshold == (enough[0] if enough else 0.6)


def test_later_figures_are_of_texts_that_came_last():
    came = np.arange(len(TEXTS)) * 10
    later = trained(came=came).metrics["later"]
    assert later["from_seq"] >= came[int(len(TEXTS) * 0.8)]
    assert 0 < later["texts"] <= len(TEXTS) * 0.2
    assert trained().metrics["later"] is None


def test_lessons_use_the_closed_sets_and_cover_them():
    taught = lessons()
    assert {each.category for each in taught} == set(CATEGORIES)
    assert {each.risk for each in taught} == set(RISKS)
    assert len({each.text for each in taught}) == len(taught) > 200


def test_a_tenant_of_three_events_is_tagged_by_lessons():
    texts = TEXTS[:3]
    classifier = train(
        "category_classifier", texts, hashed(texts), structure_features(texts), lesson_vectors=LESSON_VECTORS
    )
    assert set(classifier.classes) == set(CATEGORIES)


def test_a_failure_told_in_the_details_is_a_failure():
    assert weak_risk("cloudtrail create trail; trail; success") == "high"
    assert weak_risk("cloudtrail create trail; trail; success; error request expired") == "medium"
    assert weak_risk("ec2 describe parameters; log source; success; without mfa") == "low"


def test_only_risk_ranks_by_harm():
    with pytest.raises(ValidationError, match="risk_classifier"):
        trained().harm(hashed(TEXTS), structure_features(TEXTS))
