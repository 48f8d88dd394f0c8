FROM docker.io/library/python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/oaiproxy
# Dependencies first: they change less often than the code.
COPY setup.py pyproject.toml README.md LICENSE ./
COPY oaiproxy/__init__.py oaiproxy/
COPY twisted twisted
RUN /opt/oaiproxy/bin/pip install --no-cache-dir .
COPY oaiproxy oaiproxy
RUN /opt/oaiproxy/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
 # Twisted's plugin cache is written now: at run time nobody may write there.
 && /opt/oaiproxy/bin/twistd -n oaiproxy --list-transforms

FROM docker.io/library/python:3.13-slim
COPY --from=build /opt/oaiproxy /opt/oaiproxy
RUN useradd --system --uid 900 --home-dir /var/lib/oaiproxy --create-home oaiproxy
USER oaiproxy
# models.json, a .env and the traffic log are looked for here
WORKDIR /var/lib/oaiproxy
ENV PATH=/opt/oaiproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    # inside a container the loopback address is reached by nobody; what is published is for docker run -p to say
    OAIPROXY_INTERFACE=0.0.0.0
EXPOSE 5101 5102
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
    CMD ["python", "-c", "import http.client as h, sys; ask = lambda p: (c := h.HTTPConnection('127.0.0.1', p, timeout=4), c.request('GET', '/health?upstream=0'), c.getresponse().status)[2]; sys.exit(any(ask(p) not in (200, 401) for p in (5101, 5102)))"]
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "oaiproxy"]
