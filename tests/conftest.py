"""Settings of every test: hypothesis draws the same cases in every run and keeps no database."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("proxpair", derandomize=True, deadline=None, database=None)
settings.load_profile("proxpair")
