"""Errors that a user causes and can mend."""


class UserError(Exception):
  """A mistake in what the user gave: flags, folders, images, checkpoints.

  The message is one line that says what was found, what was expected and what to do. Binaries
  print it without a traceback and leave with exit code 2.
  """


class Notice(UserWarning):
  """What a user should know and need not mend, such as a file that was damaged and is made anew.

  Binaries print it as one line.
  """
