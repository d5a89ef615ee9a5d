import shared  # noqa: F401  Where a command is being started, Ctrl-C ends it in good order from here on.
