# Every process of Weir is this image with the name of its command: api, sink, quotas, social,
# billing, migrate, topics. Built from the checkout:
#   docker build --file deploy/containers/weir.Dockerfile --tag weir .

# The same in pages.Dockerfile, so that it is built once.
FROM node:24.19.0-trixie-slim AS pages
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci --omit=dev --loglevel=error
COPY frontend/ ./
RUN npm run build \
    && cp -R dist/assets packed \
    && find packed -type f \( -name "*.js" -o -name "*.css" -o -name "*.svg" \) -exec gzip -9 -k -n {} +

# The Python that Weir is tested with.
FROM python:3.11.18-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /build
COPY requirements/bootstrap.txt requirements/
RUN python -m venv /opt/uv \
    && /opt/uv/bin/python -m pip install --quiet --no-cache-dir --require-hashes --requirement requirements/bootstrap.txt
COPY requirements/production.txt requirements/
RUN /opt/uv/bin/uv venv --quiet --python /usr/local/bin/python /opt/weir \
    && /opt/uv/bin/uv pip sync --quiet --python /opt/weir/bin/python --require-hashes requirements/production.txt
COPY requirements/local.txt requirements/
COPY pyproject.toml README.md LICENSE ./
COPY api/ api/
COPY deploy/ deploy/
COPY schemas/ schemas/
COPY sdk/ sdk/
COPY streams/ streams/
# What builds the wheel is locked among what one machine needs.
RUN /opt/uv/bin/uv build --quiet --wheel --require-hashes --build-constraints requirements/local.txt --out-dir /build/wheels \
    && /opt/uv/bin/uv pip install --quiet --python /opt/weir/bin/python --no-deps /build/wheels/*.whl

FROM python:3.11.18-slim-trixie
# Nothing is installed into a container that runs; volumes begin with what /data is like.
WORKDIR /usr/local/lib/python3.11
RUN rm -rf ensurepip site-packages/pip* site-packages/setuptools* site-packages/wheel* /usr/local/bin/pip* \
    && mkdir -p /data/media-store \
    && chown -R 10001:10001 /data
COPY --from=build /opt/weir /opt/weir
COPY --from=pages /build/frontend/dist /opt/weir/pages
ENV PATH=/opt/weir/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WEIR_API_HOST=0.0.0.0 \
    WEIR_API_PORT=8000 \
    WEIR_API_METRICS_HOST=0.0.0.0 \
    WEIR_API_METRICS_PORT=8005 \
    WEIR_SINK_HOST=0.0.0.0 \
    WEIR_SINK_PORT=8001 \
    WEIR_QUOTAS_HOST=0.0.0.0 \
    WEIR_QUOTAS_PORT=8002 \
    WEIR_SOCIAL_HOST=0.0.0.0 \
    WEIR_SOCIAL_PORT=8003 \
    WEIR_BILLING_HOST=0.0.0.0 \
    WEIR_BILLING_PORT=8004 \
    WEIR_DATA_DIR=/data \
    WEIR_PAGES_DIR=/opt/weir/pages
WORKDIR /data
USER 10001:10001
EXPOSE 8000 8001 8002 8003 8004 8005
STOPSIGNAL SIGTERM
ENTRYPOINT ["weir"]
