"""The exchange with an upstream: connections, requests, and the bodies that come back."""

from oaiproxy.relay.answer import UpstreamAnswer
from oaiproxy.relay.body import UpstreamBodies, UpstreamBody
from oaiproxy.relay.client import AttemptLog, UpstreamClient
from oaiproxy.relay.itself import own_address
from oaiproxy.relay.retry import Retry
from oaiproxy.relay.tls import AuthoritiesError, UpstreamTls, load_authorities
from oaiproxy.relay.upload import BytesBody, RequestBody, StreamedBody

__all__ = [
    "AttemptLog",
    "AuthoritiesError",
    "BytesBody",
    "RequestBody",
    "Retry",
    "StreamedBody",
    "UpstreamAnswer",
    "UpstreamBodies",
    "UpstreamBody",
    "UpstreamClient",
    "UpstreamTls",
    "load_authorities",
    "own_address",
]
