# The server and the command line. DuckDB is linked in, so the build needs a C and
# a C++ compiler and the image the C++ runtime.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=1 go build -trimpath \
    -ldflags "-s -w ${VERSION:+-X github.com/costprof/costprof/internal/cli.version=${VERSION}}" \
    -o /out/costprof ./cmd/costprof \
    && mkdir /out/data

# The same glibc as above; nothing else in it, and nobody is root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/costprof /usr/local/bin/costprof
COPY --from=build --chown=65532:65532 /out/data /var/lib/costprof
USER 65532:65532
ENV COSTPROF_DATA=/var/lib/costprof \
    COSTPROF_LISTEN=0.0.0.0:3100
VOLUME /var/lib/costprof
EXPOSE 3100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/costprof", "health"]
ENTRYPOINT ["/usr/local/bin/costprof"]
CMD ["serve"]
