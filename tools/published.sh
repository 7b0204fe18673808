# Installs the published npm packages that tests hold us against: the price
# package for e2e/genai, an EventSource client for e2e/sse. Without Node.js they
# are left out, and said so, unless COSTPROF_REQUIRE names them.
set -eu

# install DIR PACKAGE NAME WHAT: NAME is that of COSTPROF_REQUIRE.
install() {
	want=$(sed -n "s|.*\"$2\": \"\([^\"]*\)\".*|\1|p" "$1/package.json")
	if grep -qs "\"version\": \"$want\"" "$1/node_modules/$2/package.json"; then return; fi
	lack=
	if ! command -v node >/dev/null 2>&1; then
		lack="Node.js is not here"
	elif ! command -v npm >/dev/null 2>&1; then
		lack="npm is not here"
	elif ! npm install --prefix "$1" --no-package-lock --no-audit --no-fund --loglevel=error; then
		lack="npm could not install $2 $want"
	fi
	[ -n "$lack" ] || return 0
	case ",${COSTPROF_REQUIRE:-}," in
	*,"$3",*)
		echo "$lack, and $4 is required" >&2
		exit 1
		;;
	esac
	echo "$lack: no $4"
}

install e2e/genai @pydantic/genai-prices genai "comparison with the published prices"
install e2e/sse eventsource eventsource "following of streams with a published client"
