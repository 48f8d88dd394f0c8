"""Makes ``twistd oaiproxy`` and ``twist oaiproxy`` known; the service itself is imported only when it is asked for."""

from twisted.application.service import ServiceMaker

oaiproxy = ServiceMaker("oaiproxy", "oaiproxy.maker", "A reverse proxy for the OpenAI API.", "oaiproxy")
