"""Benchmarks: ratios measured in one run on one machine. No part of the tests."""
