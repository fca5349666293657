# syntax=docker/dockerfile:1
# One static binary on nothing. For both architectures: docker buildx build --platform linux/amd64,linux/arm64 .

# The compiler runs on the builder's own architecture; nothing is emulated.
FROM --platform=$BUILDPLATFORM rust:1.95-slim-bookworm AS build
# zig compiles the C of aws-lc and mimalloc for either architecture and links with musl.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-pip && \
    rm -rf /var/lib/apt/lists/* && \
    pip install --no-cache-dir --break-system-packages ziglang==0.17.1 cargo-zigbuild==0.24.0
WORKDIR /build
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      amd64) echo x86_64-unknown-linux-musl ;; \
      arm64) echo aarch64-unknown-linux-musl ;; \
      *) echo "no image for $TARGETARCH" >&2; exit 1 ;; \
    esac >target-triple && rustup target add "$(cat target-triple)"
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# The dependencies are a layer of their own, built for an empty program, and stay while Cargo.lock stays.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/fanout benches/proxy benches/resume && echo 'fn main() {}' >src/main.rs && \
    touch src/lib.rs benches/hub.rs benches/fanout/main.rs benches/proxy/main.rs benches/resume/main.rs && \
    cargo zigbuild --release --locked --features mimalloc,otlp --bin cottontail --target "$(cat target-triple)"
COPY config.toml ./
COPY src src
# Copied files may be older than that empty program, which cargo would then keep.
RUN touch src/main.rs src/lib.rs && \
    cargo zigbuild --release --locked --features mimalloc,otlp --bin cottontail --target "$(cat target-triple)" && \
    cp "target/$(cat target-triple)/release/cottontail" /cottontail

FROM scratch
# For brokers that speak amqps with a certificate of a public authority.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE-APACHE LICENSE-MIT /licenses/
COPY --from=build /cottontail /cottontail
USER 65532:65532
# config.toml is looked for here.
WORKDIR /etc/cottontail
EXPOSE 8080 9090
ENTRYPOINT ["/cottontail"]
CMD ["run"]
