"""What tools, and those who put them together, may go wrong with."""

from __future__ import annotations


class ToolError(Exception):
    """A tool cannot do what the model asks for.

    @ivar message: the reason, for the model to read, which may try again; so nothing that is secret.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ToolBoxError(ValueError):
    """The tools cannot be used as they are set up; the message is one line and names them."""
