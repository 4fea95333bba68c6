"""The one exception that all three packages raise for input they cannot use."""


class RsscError(Exception):
    """Bad data or a bad run: one line that names the culprit, what came, and the mend.

    The command line prints the message and exits with 1; a traceback is kept for our own bugs.
    """
