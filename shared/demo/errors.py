"""What can go wrong in the demonstration itself."""


class DemoError(Exception):
    """The demonstration can't go on; the message is for the person at the terminal."""
