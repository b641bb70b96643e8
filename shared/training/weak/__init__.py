"""Weak supervision that every machine has: documentation that Debian and PyPI ship, in many languages."""
