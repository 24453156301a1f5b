"""The one error that is the user's to mend: it says what was expected, what came, and what to do next."""


class UserError(Exception):
    """Wrong input. The message alone is shown, without a traceback."""
