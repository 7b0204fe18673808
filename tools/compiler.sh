# Says in one sentence what is missing to build costprof: Go, or a C or C++
# compiler (the embedded DuckDB is linked with both runtimes).
set -eu
GO=${GO:-go}

if ! command -v "$GO" >/dev/null 2>&1; then
	echo "costprof is built with Go (the version that go.mod names, or newer): see https://go.dev/doc/install" >&2
	exit 1
fi
for variable in CC CXX; do
	compiler=$("$GO" env "$variable")
	if ! command -v "${compiler%% *}" >/dev/null 2>&1; then
		echo "costprof embeds DuckDB and needs a C and C++ compiler, but \"$compiler\" is not here." >&2
		echo "Debian, Ubuntu: apt-get install gcc g++ · Fedora: dnf install gcc gcc-c++ · macOS: xcode-select --install" >&2
		exit 1
	fi
done
