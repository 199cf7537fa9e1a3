# aleaseg on a CPU, run by an unprivileged user. Built from a clone: docker build -t aleaseg .
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /source
# The CPU build of torch: a quarter of the size, and nothing here asks for a GPU.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/aleaseg
ENV PATH=/opt/aleaseg/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install -c constraints.txt . && python -m compileall -q /opt/aleaseg

FROM python:${PYTHON}-slim
COPY --from=build /opt/aleaseg /opt/aleaseg
ENV PATH=/opt/aleaseg/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin aleaseg && mkdir /data && chown aleaseg /data
USER 10001
WORKDIR /data
# For `review RUN --no-browser --port 8024`: its guard answers 403 to whoever has no token.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8024, timeout=5); c.request('GET', '/'); raise SystemExit(c.getresponse().status not in (200, 403))"]
ENTRYPOINT ["aleaseg"]
CMD ["--help"]
