# Both stages name the same image: the environment made in the one points to the Python of the other.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# The registry's torch brings gigabytes of CUDA along. For a server without a GPU, name an index that has
# the CPU build: --build-arg PIP_EXTRA_INDEX_URL=…
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
RUN python -m venv /opt/unsure

# Before the source, so that a change of the source installs torch no second time.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], sep='\n')" > dependencies.txt \
    && /opt/unsure/bin/pip install --constraint constraints.txt --requirement dependencies.txt

COPY README.md LICENSE ./
COPY service service
COPY models models
# What only some need, such as --build-arg EXTRAS=text,postgresql.
ARG EXTRAS
RUN /opt/unsure/bin/pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"


FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 unsure \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin unsure \
    && install --directory --owner=10001 --group=10001 --mode=0700 /reviews
COPY --from=build /opt/unsure /opt/unsure
# Other machines reach 0.0.0.0: the server refuses to start without keys (UNSURE_API_KEYS_FILE), unless
# UNSURE_WITHOUT_KEYS=true says that it shall.
ENV PATH=/opt/unsure/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UNSURE_REPOSITORY=/models \
    UNSURE_HOST=0.0.0.0 \
    UNSURE_PORT=8000 \
    UNSURE_REVIEW_URL=sqlite:////reviews/reviews.db
VOLUME /models /reviews
EXPOSE 8000
# A number, because an orchestrator that demands an ordinary user cannot look a name up.
USER 10001:10001
STOPSIGNAL SIGTERM
# Without a proxy: the environment may name one, and it would be asked for 127.0.0.1 too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; \
ready = 'http://127.0.0.1:' + os.environ['UNSURE_PORT'] + '/v2/health/ready'; \
web.build_opener(web.ProxyHandler({})).open(ready, timeout=4)"]
ENTRYPOINT ["unsure"]
CMD ["serve"]
