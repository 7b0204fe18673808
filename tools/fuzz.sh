# Runs every fuzz target for FUZZTIME each; go test takes one at a time.
set -eu
GO=${GO:-go}

grep -rn --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . |
	sed -n 's|^\(.*\)/[^/]*:[0-9]*:func \(Fuzz[A-Za-z0-9_]*\)(.*|\1 \2|p' |
	while read -r dir target; do
		echo "== $dir $target"
		"$GO" test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}"
	done
