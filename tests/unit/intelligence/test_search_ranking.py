"""The order of what a search found."""

from datetime import UTC, datetime

from audit_pipelines.intelligence.search.asked import Conditions, Question
from audit_pipelines.intelligence.search.ranking import MORE, Candidate, rank

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def question(*hints: tuple[str, float]) -> Question:
    return Question("", "events", Conditions(), hints=hints)


def order(asked: Question, *candidates: Candidate) -> list[bytes]:
    return [one.text_hash for one in rank(asked, candidates)]


def test_meaning_orders_and_words_part_what_means_the_same() -> None:
    far, near = Candidate(b"far", "a", 0.3, words=9.0), Candidate(b"near", "b", 0.6)
    assert order(question(), far, near) == [b"near", b"far"]
    same = Candidate(b"same", "c", 0.6, words=0.1)
    assert order(question(), near, same) == [b"same", b"near"]


def test_what_has_the_identifier_comes_first() -> None:
    assert order(question(), Candidate(b"near", "a", 0.9, words=5.0), Candidate(b"exact", "b", -0.2, exact=True)) == [
        b"exact",
        b"near",
    ]


def test_what_a_kind_is_read_as_weighs_more_than_its_text_and_what_was_done_counts() -> None:
    text, read = Candidate(b"text", "a", 0.7, reading=0.3), Candidate(b"read", "b", 0.4, reading=0.6)
    assert order(question(), text, read) == [b"read", b"text"]
    done = Candidate(b"done", "c", 0.4, reading=0.55, done=True)
    assert order(question(), read, done) == [b"done", b"read"]


def test_a_kind_that_the_words_say_counts_where_there_is_no_vector() -> None:
    candidates = Candidate(b"1", "a", None, words=0.5), Candidate(b"2", "b", None, words=0.45)
    assert order(question(("b", 0.9)), *candidates) == [b"2", b"1"]
    assert rank(question(("b", 0.9)), candidates)[0].decided_by == "kind"


def test_one_kind_does_not_fill_the_list() -> None:
    many = [Candidate(bytes([at]), "a", 0.6 - at / 1000) for at in range(20)]
    ranked = rank(question(), [*many, Candidate(b"other", "b", 0.5)])
    assert [one.text_hash for one in ranked].index(b"other") == 1
    costs = [one.cost for one in ranked]
    assert costs == sorted(costs)
    assert costs[0] == 0
    assert costs[2] > MORE - 0.01


def test_the_order_of_the_input_says_nothing_and_each_text_comes_once() -> None:
    candidates = [Candidate(b"1", "a", 0.5), Candidate(b"2", "a", 0.5), Candidate(b"1", "a", None, words=1.0)]
    assert rank(question(), candidates) == rank(question(), reversed(candidates))
    assert len(rank(question(), candidates)) == 2


def test_without_vectors_words_decide() -> None:
    ranked = rank(question(), [Candidate(b"1", "a", None, words=0.1), Candidate(b"2", "b", None, words=0.2)])
    assert [one.text_hash for one in ranked] == [b"2", b"1"]
    assert {one.decided_by for one in ranked} == {"words"}
    assert rank(question(), []) == []
