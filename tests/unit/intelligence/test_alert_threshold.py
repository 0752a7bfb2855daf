"""How verdicts move the alerting threshold, and how little one person can do to it."""

import pytest

from audit_pipelines.intelligence.alert_threshold import ENOUGH, MOST_ABOVE, STEP, Said, move


def said(analyst: str, verdict: str, count: int = ENOUGH, score: float = 0.75) -> list[Said]:
    return [Said(analyst, verdict, score)] * count


def test_two_persons_who_see_false_alarms_raise_it_by_one_step_and_say_why():
    moved = move(0.7, 0.7, said("a", "false_positive") + said("b", "false_positive"))
    assert moved.threshold == pytest.approx(0.7 + STEP)
    assert "10 of 10 judged alarms" in moved.explanation


@pytest.mark.parametrize("others", [[], said("b", "false_positive", ENOUGH - 1), said("b", "benign", 50)])
def test_a_flood_of_one_person_does_nothing(others):
    assert move(0.7, 0.7, said("a", "false_positive", 1_000) + others) is None


def test_of_two_persons_the_one_who_sees_fewer_false_alarms_decides():
    assert move(0.7, 0.7, said("a", "false_positive", 1_000) + said("b", "true_positive")) is None
    assert move(0.75, 0.7, said("a", "false_positive", 1_000) + said("b", "true_positive")).threshold == 0.74


def test_three_persons_outvote_one():
    honest = said("a", "true_positive") + said("b", "true_positive")
    assert move(0.75, 0.7, honest + said("c", "false_positive", 1_000)).threshold == 0.74


def test_it_stays_within_its_range():
    raising = said("a", "false_positive", score=0.9) + said("b", "false_positive", score=0.9)
    assert move(0.7 + MOST_ABOVE, 0.7, raising) is None
    lowering = said("a", "true_positive") + said("b", "true_positive")
    assert move(0.7, 0.7, lowering) is None
    # A base that was raised meanwhile takes the threshold along.
    assert move(0.7, 0.8, lowering).threshold == 0.8


def test_alarms_far_above_say_nothing_about_where_it_should_be():
    assert move(0.7, 0.7, said("a", "false_positive", score=0.95) + said("b", "false_positive", score=0.95)) is None
