"""Benchmarks; outside the wheel."""
