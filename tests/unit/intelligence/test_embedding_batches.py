from audit_pipelines.intelligence.embedding_server import split


def test_pieces_keep_the_order_and_hold_at_most_so_many_texts() -> None:
    texts = [f"text {number}" for number in range(7)]
    pieces = list(split(texts, most_texts=3, most_tokens=1000))
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    assert [text for piece in pieces for text in piece] == texts


def test_pieces_hold_at_most_so_many_tokens() -> None:
    texts = ["a" * 29] * 5
    # 29 bytes are guessed to be 10 tokens and one more.
    assert [len(piece) for piece in split(texts, most_texts=100, most_tokens=22)] == [2, 2, 1]
    assert [len(piece) for piece in split(texts, most_texts=100, most_tokens=21)] == [1] * 5


def test_a_text_beyond_the_limit_goes_alone() -> None:
    assert list(split(["b", "a" * 999, "b"], most_texts=10, most_tokens=5)) == [["b"], ["a" * 999], ["b"]]


def test_no_text_is_no_piece() -> None:
    assert list(split([], most_texts=1, most_tokens=1)) == []
