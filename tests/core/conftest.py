# SPDX-License-Identifier: Apache-2.0
"""Hypothesis: the same examples every time; fewer of them on the slow sanitized build."""

import os

from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, derandomize=True, max_examples=25)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
