"""A tool that asks an HTTP service, as an example: the state of an order in a shop.

To use it put this file into a folder ``oaiproxy/plugins/`` on the Python path, without an ``__init__.py``; then
``--list-tools`` shows it, and with ``ENABLE_TOOL_EXECUTION=true`` models can call it::

    mkdir -p tools/oaiproxy/plugins && cp order_status.py tools/oaiproxy/plugins/
    PYTHONPATH=tools ENABLE_TOOL_EXECUTION=true ORDERS_URL=http://127.0.0.1:9000 twistd -n oaiproxy
"""

from __future__ import annotations

import os
from typing import Any

import treq
from twisted.internet.error import ConnectError
from twisted.web.client import Agent, ResponseFailed
from zope.interface import implementer

from oaiproxy.interfaces import IToolContext, IToolProvider
from oaiproxy.tools import ToolError


@implementer(IToolProvider)
class OrderStatus:
    """``order_status``: what has become of an order."""

    name = "order_status"
    description = "Tells the state of an order and when it will arrive. Use it when somebody asks about their order."
    parameters = {
        "type": "object",
        "properties": {
            "order": {"type": "string", "pattern": "^[A-Z0-9-]{1,32}$", "description": "the number, such as A-1007"}
        },
        "required": ["order"],
        "additionalProperties": False,
    }

    def __init__(self, url: str) -> None:
        """@param url: the service's base URL; the model never chooses the host."""
        self._url = url.rstrip("/")

    async def call(self, arguments: dict[str, Any], context: IToolContext) -> Any:
        """Ask the service.  The proxy checks the arguments before, cancels this where it takes too long or the client
        leaves, and cuts off a result that is too long.

        @raise ToolError: there is no answer; the message is for the model.
        """
        client = treq.client.HTTPClient(Agent(context.reactor))
        try:
            # the pattern above has nothing in it that means something in a URL
            answer = await client.get(
                f"{self._url}/orders/{arguments['order']}", headers={"Accept": "application/json"}
            )
        except (ConnectError, ResponseFailed):
            raise ToolError("the shop's service cannot be reached; try again later") from None
        if answer.code == 404:
            raise ToolError(f"there is no order {arguments['order']}")
        if answer.code != 200:
            raise ToolError(f"the shop's service answered with status {answer.code}")
        return await answer.json()


order_status = OrderStatus(os.environ.get("ORDERS_URL", "http://127.0.0.1:9000"))
