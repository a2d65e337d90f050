# The images of the project. `make images` builds them.
#
#   consumer     every command but those that start servers (up, demo, chaos)
#   dashboard    the same, and the dashboard
#   with-bundle  a consumer with a bundle of models inside
#
# Libraries are wheels of locked versions, checked by hash; the locks are renewed by `make lock`.

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS base
RUN python -m venv --without-pip /opt/clickstream \
 && useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /var/lib/clickstream \
      --shell /usr/sbin/nologin clickstream \
 && install -d -o clickstream -g clickstream /var/lib/clickstream /var/lib/clickstream/bundles
ENV PATH=/opt/clickstream/bin:$PATH \
    CLICKSTREAM_HOME=/var/lib/clickstream \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/clickstream

FROM ${PYTHON} AS wheel
COPY deploy/constraints/build.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --only-binary :all: -r /build/build.txt
COPY pyproject.toml README.md /build/
COPY src /build/src
# What the wheel carries besides, see pyproject.toml.
COPY examples/own-clicks /build/examples/own-clicks
COPY examples/online-store /build/examples/online-store
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /build

FROM base AS libraries
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=deploy/constraints/consumer.txt,target=/constraints.txt \
    pip --python /opt/clickstream/bin/python install --no-deps --require-hashes --only-binary :all: \
      -r /constraints.txt

FROM libraries AS consumer
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/clickstream/bin/python install --no-deps --no-index /wheel/*.whl
USER 10001:10001
ENTRYPOINT ["clickstream"]
CMD ["consume"]

FROM libraries AS dashboard-libraries
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=deploy/constraints/dashboard.txt,target=/constraints.txt \
    pip --python /opt/clickstream/bin/python install --no-deps --require-hashes --only-binary :all: \
      -r /constraints.txt

FROM dashboard-libraries AS dashboard
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/clickstream/bin/python install --no-deps --no-index /wheel/*.whl
USER 10001:10001
ENTRYPOINT ["clickstream"]
CMD ["dashboard"]

# Trained on the dataset in data/, or on synthetic sessions where there is none.
FROM consumer AS training
ARG SESSIONS=24026
RUN --mount=type=bind,target=/context CLICKSTREAM_DATA=/context/data clickstream train --or-synthetic ${SESSIONS}

# A folder of bundles; `--build-context bundles=FOLDER` puts another in its place.
FROM scratch AS bundles
COPY --from=training /var/lib/clickstream/bundles /

FROM consumer AS with-bundle
COPY --from=bundles / /var/lib/clickstream/bundles
