"""Property tests look at the same examples in every run of CI, so that a red run speaks of the change that it
judges. Elsewhere they look at new ones each time, and find what nobody thought of."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
