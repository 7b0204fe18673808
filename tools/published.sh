# Installs the published price package that e2e/genai compares our prices with.
# Without Node.js the comparison is left out, and said so, unless
# COSTPROF_REQUIRE names it.
set -eu
dir=e2e/genai
want=$(sed -n 's|.*"@pydantic/genai-prices": "\([^"]*\)".*|\1|p' $dir/package.json)

without() {
	case ",${COSTPROF_REQUIRE:-}," in
	*,genai,*)
		echo "$1, and the comparison with the published prices is required" >&2
		exit 1
		;;
	esac
	echo "$1: prices are not compared with the published package"
	exit 0
}

if grep -qs "\"version\": \"$want\"" $dir/node_modules/@pydantic/genai-prices/package.json; then exit 0; fi
command -v node >/dev/null 2>&1 || without "Node.js is not here"
command -v npm >/dev/null 2>&1 || without "npm is not here"
npm install --prefix $dir --no-package-lock --no-audit --no-fund --loglevel=error ||
	without "npm could not install @pydantic/genai-prices $want"
