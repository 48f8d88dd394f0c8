"""The exchange with an upstream: connections, requests, and the bodies that come back."""

from oaiproxy.relay.body import UpstreamBodies, UpstreamBody
from oaiproxy.relay.client import UpstreamAnswer, UpstreamClient
from oaiproxy.relay.upload import BytesBody, FileBody, RequestBody

__all__ = ["BytesBody", "FileBody", "RequestBody", "UpstreamAnswer", "UpstreamBodies", "UpstreamBody", "UpstreamClient"]
