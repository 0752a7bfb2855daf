import weakref

import numpy as np
import polars as pl
import pytest

from audit_pipelines.intelligence.features import compute_features, details
from audit_pipelines.intelligence.past import State, Stretch
from tests.unit.intelligence.test_features import event, frame

OPENED = (
    '{"cidr":"0.0.0.0/0"}',
    '{"range":"::/0"}',
    '{"Principal":"*"}',
    r'{"policy":"{\"Principal\": {\"AWS\": [\"*\"]}}"}',
    '{"ACTION": "*"}',
    '{"groups":"ALL"}',
    '{"grantee":"acs/AllUsers"}',
    '{"grantee":"AllAuthenticatedUsers"}',
    '{"arn":"policy/AdministratorAccess"}',
    '{"isPublicRead": true}',
    '{"user":"Anonymous"}',
)
CLOSED = ('{"Principal":"ann"}', '{"action":"read"}', '{"isPublicRead":false}', '{"all":1}', "{}", None)


@pytest.mark.parametrize("text", OPENED)
def test_no_opening_is_lost_to_the_look_for_its_plain_words(text):
    assert pl.Series([text]).str.contains(details._EXPOSED).item()
    assert compute_features(frame([event(0, details=text)]))["exposed"].to_list() == [1.0]


def test_plain_words_alone_open_nothing():
    events = [event(n, details=text) for n, text in enumerate(CLOSED)]
    assert compute_features(frame(events))["exposed"].to_list() == [0.0] * len(CLOSED)


def test_a_stretch_holds_of_groups_and_windows_only_what_they_carry():
    key = np.array([3, 5, 3], dtype=np.uint64)
    stretch = Stretch(3, np.arange(3, dtype=np.int64), State())
    group, windows = stretch.group("some", key), stretch.windows("some", key, 60.0)
    assert group.count().tolist() == [0, 0, 1]
    order, gone = weakref.ref(group.order), (weakref.ref(group), weakref.ref(windows))
    del group, windows
    # Without the garbage collector, which comes by too late: a cycle of references would keep all three.
    assert [each() for each in (order, *gone)] == [None] * 3
    assert stretch.layer().tables["some"].values["n"].tolist() == [2, 1]
