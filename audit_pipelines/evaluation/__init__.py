"""Judging detectors on labelled events, away from any database: what they find, how soon, at what cost in alerts."""
