# Two stages: the wheels are installed where pip is, the image that runs has neither pip's cache nor a compiler.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/partyline
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/partyline/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY requirements/runtime.in requirements/runtime.in
COPY protocol protocol
COPY db db
COPY server server
COPY load_tests load_tests
RUN /opt/partyline/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home partyline
COPY --from=build /opt/partyline /opt/partyline
ENV PATH=/opt/partyline/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["partyline"]
CMD ["gateway", "--host", "0.0.0.0", "--port", "8080"]
