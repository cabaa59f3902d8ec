"""In which format a scrape is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telemetry.scrapes import counting, decided, families

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PLAIN_FIRST = "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html", PLAIN),
        ("text/plain", PLAIN),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", PLAIN),
        (PROMETHEUS_3, OPENMETRICS),
        (PLAIN_FIRST, PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0", OPENMETRICS),
        ("text/plain, application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", PLAIN),
        ("application/openmetrics-text;version=99.0.0", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.2", PLAIN),
        ("application/openmetrics-text;q=much", PLAIN),
        ("application/openmetrics-text;q=nan", PLAIN),
        ("application/openmetrics-text;q=7", PLAIN),
        (";;;,,,=;q", PLAIN),
    ],
)
def test_the_format_is_what_the_scraper_likes_best(accept: str, content_type: str) -> None:
    assert counting().exposition(accept)[0] == content_type


@given(st.text() | st.text("application/openmetrics-text;q=0.1, *\r\n"))
def test_whatever_is_accepted_is_answered_in_one_of_two_formats(accept: str) -> None:
    content_type, text = counting().exposition(accept)
    assert content_type in {PLAIN, OPENMETRICS}
    assert text.endswith(b"# EOF\n") == (content_type == OPENMETRICS)


def test_both_formats_tell_the_same() -> None:
    metrics = counting()
    metrics.record(decided("no_credentials", policy="authenticate", steps=(("authenticate", 1),)))
    plain, openmetrics = (
        sorted(
            (sample.name, tuple(sample.labels.items()), sample.value)
            for family in families(metrics, accept)
            for sample in family.samples
            if family.name.startswith("extproc")
        )
        for accept in ("", "application/openmetrics-text")
    )
    assert plain == openmetrics


def test_no_series_is_doubled_by_the_time_of_its_beginning() -> None:
    metrics = counting()
    metrics.record(decided())
    for accept in ("", "application/openmetrics-text"):
        assert b"_created" not in metrics.exposition(accept)[1]
