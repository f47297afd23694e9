"""The three ways in which theory/ declines: bad input, an open question, and time running out."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be read or lies outside the setting; the message says what and where."""


class Undecided(Exception):
    """A question that the exact methods could not settle; the message is the reason that is reported."""


class OutOfTime(BaseException):
    """The deadline passed. Not an ``Exception``: libraries that swallow exceptions must not swallow it."""
