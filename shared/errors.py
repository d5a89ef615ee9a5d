"""The one exception that is meant for the person at the command line."""


class UserError(Exception):
    """Something the user can put right; the message names the file, row or flag and the way out.

    Commands print it without a traceback and exit with status 2 (see `shared.commands.run`).
    """
