"""A reverse proxy for the OpenAI API: old clients on one side, new features on the other."""

__version__ = "0.1.0"
