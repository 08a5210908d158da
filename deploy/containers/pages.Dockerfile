# What browsers reach: the files of the pages, and a proxy to the API. Built from the checkout:
#   docker build --file deploy/containers/pages.Dockerfile --tag weir-pages .

# The same in weir.Dockerfile, so that it is built once.
FROM node:24.19.0-trixie-slim AS pages
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci --omit=dev --loglevel=error
COPY frontend/ ./
RUN npm run build \
    && cp -R dist/assets packed \
    && find packed -type f \( -name "*.js" -o -name "*.css" -o -name "*.svg" \) -exec gzip -9 -k -n {} +

FROM nginxinc/nginx-unprivileged:1.29.3-alpine
# The image's own start fills in the template, into the one folder that can be written.
ENV NGINX_ENTRYPOINT_LOCAL_RESOLVERS=1 \
    NGINX_ENVSUBST_OUTPUT_DIR=/tmp \
    WEIR_URL=http://api:8000 \
    TRUSTED_PROXY=127.0.0.1
COPY deploy/containers/nginx/nginx.conf deploy/containers/nginx/guards.conf /etc/nginx/
COPY deploy/containers/nginx/servers.conf.template /etc/nginx/templates/servers.conf.template
COPY --from=pages /build/frontend/packed /usr/share/weir/assets
USER 101:101
EXPOSE 8080
STOPSIGNAL SIGQUIT
