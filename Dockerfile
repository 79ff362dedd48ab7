# docker build -t waypost .
# docker run --rm -p 8080:8080 -e WAYPOST_HOSTS='*=10.0.0.1:80,10.0.0.2:80' waypost

FROM rust:1.95-slim-trixie AS build
# A proxy and no more, with its cryptography, its resolver, compression, the export of traces and with certificates by ACME: not `policy new`, `pack` and `bindings` (authoring), not `origin` and `demo` (demo).
ARG FEATURES="aws-lc-rs,acme,dns,compress,otlp"
WORKDIR /src
COPY . .
# The caches live outside of the image: a change of ours compiles only what is ours.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --package waypost --bin waypost \
        --no-default-features --features "$FEATURES" \
    && install -D -m 0755 target/dist/waypost /out/usr/local/bin/waypost

# The same release of Debian as above, so that the C library fits.
FROM debian:trixie-slim
LABEL org.opencontainers.image.title="waypost" \
      org.opencontainers.image.description="A routing proxy whose decisions are made by sandboxed WebAssembly components" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
COPY LICENSE /usr/share/doc/waypost/LICENSE
# The authorities that vouch for backends and for a directory of ACME.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A number, so that an orchestrator can see that it isn't root; nothing in the image belongs to it.
USER 65532:65532
WORKDIR /etc/waypost
# Clients. The admin listener (9090) is on loopback unless WAYPOST_ADMIN_LISTEN and WAYPOST_ADMIN_TOKEN say otherwise.
EXPOSE 8080 9090
# Drains: what is in flight is finished, for 30 s at most; give `docker stop` a longer --timeout than that.
STOPSIGNAL SIGTERM
# No HEALTHCHECK here: a proxy whose file has another admin listener, or none, would be replaced although it serves.
# `docker run --health-cmd 'waypost healthcheck'` asks the default one, or WAYPOST_ADMIN_LISTEN; compose.yaml does so too.
ENTRYPOINT ["waypost"]
CMD ["run"]
