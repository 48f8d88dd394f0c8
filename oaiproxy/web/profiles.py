"""Which client profile a request gets."""

from __future__ import annotations

from oaiproxy.api.errors import BadRequest
from oaiproxy.clients import ClientProfile, UnknownProfile, find_profile
from oaiproxy.web.context import PortContext
from oaiproxy.web.site import ProxyRequest

#: The request header field by which a client chooses its profile itself; it stays here.
PROFILE = "x-oaiproxy-profile"
_PROFILE = PROFILE.encode()


def profile_of(port: PortContext, request: ProxyRequest) -> ClientProfile:
    """The profile that the request itself names, else that of its port, else the one that fits its User-Agent.

    @raise BadRequest: the request names one that there is not.
    """
    chosen = _field(request, _PROFILE)
    if chosen:
        try:
            return find_profile("", chosen)
        except UnknownProfile as e:
            raise BadRequest(
                f"The header {PROFILE} names no profile: {e}. Leave it out for the one that fits the User-Agent.",
                param=PROFILE,
                code="unknown_profile",
            ) from None
    return find_profile(_field(request, b"user-agent"), port.settings.profile)


def _field(request: ProxyRequest, name: bytes) -> str:
    value = request.getHeader(name)
    return "" if value is None else value.decode("latin-1")
