"""What the product knows about meaning and behaviour: pure functions of events, without Dagster, HTTP or database."""
