# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/paidan ./cmd/paidan \
 && install -d -m 0700 /out/data

# Nothing but the program: no shell, no packages. Time zones are inside the
# binary; the certificates come from the build image.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/paidan /paidan
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
ENV PAIDAN_DATA_DIR=/data \
    PAIDAN_LISTEN=0.0.0.0:8080
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/paidan", "doctor", "--live"]
ENTRYPOINT ["/paidan"]

LABEL org.opencontainers.image.title="Paidan 派单" \
      org.opencontainers.image.description="A ticket desk that lives in chat" \
      org.opencontainers.image.source="https://github.com/paidan/paidan" \
      org.opencontainers.image.licenses="Apache-2.0"
