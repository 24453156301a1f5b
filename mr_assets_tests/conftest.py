"""Settings that all tests share."""

from hypothesis import settings

# A busy machine is no bug: no example is timed. A test that needs more examples asks for them.
settings.register_profile("untimed", deadline=None, max_examples=40)
settings.load_profile("untimed")
