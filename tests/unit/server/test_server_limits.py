"""Limits: who is over one is told when to come back, and nobody else notices."""

import time
from uuid import uuid4

import pytest

from audit_pipelines.server import limits
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.limits import Limits, RateLimit
from audit_pipelines.server.problems import RequestError
from audit_pipelines.settings import Settings

TENANT = uuid4()
ALICE = Principal("alice", TENANT, frozenset())


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_ten_seconds_worth_may_come_at_once_and_then_the_pace_counts() -> None:
    clock = Clock()
    limit = RateLimit(5, clock)
    assert [limit("a") for _ in range(50)] == [0.0] * 50
    assert limit("a") == pytest.approx(0.2, abs=1e-5)
    clock.now += 0.1
    assert limit("a") == pytest.approx(0.1, abs=1e-5)
    assert limit("b") == 0.0
    clock.now += 0.11
    assert limit("a") == 0.0
    assert limit("a") > 0
    # Whoever asks in vain does not lose more by it, and an hour of silence earns ten seconds' worth.
    clock.now += 3_600
    assert sum(limit("a") == 0.0 for _ in range(100)) == 50


def test_in_the_long_run_the_rate_is_kept() -> None:
    clock = Clock()
    limit = RateLimit(7, clock)
    admitted = 0
    for _ in range(20_000):
        clock.now += 0.01
        admitted += limit("a") == 0.0
    assert admitted == pytest.approx(200 * 7 + 70, abs=2)


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_COUNTED", 100)
    clock = Clock()
    limit = RateLimit(1, clock)
    for _ in range(10):
        limit("busy")
    for number in range(1_000):
        limit(f"a{number}")
        clock.now += 0.02
        assert len(limit._due) <= 100
    # Over the bound, those go first who are not ahead of their pace.
    assert "busy" not in limit._due


def refused(admit: object, *arguments: object, **named: object) -> RequestError:
    def often() -> None:
        for _ in range(10_000):
            admit(*arguments, **named)

    with pytest.raises(RequestError) as caught:
        often()
    assert (caught.value.status, caught.value.kind) == (429, "too-many-requests")
    return caught.value


def test_a_subject_is_counted_whatever_its_token_and_apart_from_others() -> None:
    counted = Limits(Settings(_env_file=None, audit_rate_limit=3, audit_rate_limit_writes=0))
    error = refused(counted.admit, ALICE, writes=False)
    assert error.headers == {"Retry-After": "1"}
    with pytest.raises(RequestError):
        counted.admit(Principal("alice", TENANT, frozenset({"audit:read"}), uuid4()), writes=False)
    counted.admit(Principal("alice", uuid4(), frozenset()), writes=False)
    counted.admit(Principal("bob", TENANT, frozenset()), writes=False)
    for _ in range(10_000):
        counted.admit(ALICE, writes=True)


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("198.51.100.1", "198.51.100.1", True),
        ("198.51.100.1", "198.51.100.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("/run/socket", "/run/socket", True),
    ],
)
def test_refused_tokens_are_counted_by_address(first: str, second: str, is_one: bool) -> None:
    counted = Limits(Settings(_env_file=None, audit_rate_limit_refusals=2))
    while answer_to_a_bad_token(counted, (first, 1)) == 401:
        pass
    assert answer_to_a_bad_token(counted, (second, 2)) == (429 if is_one else 401)
    assert answer_to_a_bad_token(counted, None) == 401


def answer_to_a_bad_token(counted: Limits, client: tuple[str, int] | None) -> int:
    with pytest.raises(RequestError) as caught, counted.counting_refusals({"client": client}):
        raise RequestError(401, "unauthenticated", "Expected a valid token.")
    return caught.value.status


def test_the_defaults_do_not_disturb_bulk_ingestion() -> None:
    counted = Limits(Settings(_env_file=None))
    for _ in range(100_000):
        counted.admit(ALICE, writes=True)


def test_counting_costs_next_to_nothing() -> None:
    """A request costs some 60 µs; counting some 0.6 µs of the processor, whatever else it does meanwhile."""
    counted = Limits(Settings(_env_file=None, audit_rate_limit=10_000_000))
    principals = [Principal(f"subject-{number}", TENANT, frozenset()) for number in range(100)]
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(100):
            for principal in principals:
                counted.admit(principal, writes=False)
        best = min(best, (time.process_time() - began) / 10_000)
    assert best < 5e-6, f"{best * 1e6:.2f} µs a request"
