#!/usr/bin/env bash
# Real PostgreSQL and Redis servers for tests and benchmarks.
#
#   tools/services.sh start        start what is not running; prints "export NAME=value" lines
#   tools/services.sh stop         stop what start started
#   tools/services.sh halt         stop PostgreSQL at once, as a crash would; start goes on with its data and port
#   tools/services.sh run CMD...   start, run CMD with the variables set, stop what was started
#
# The variables are TEST_DATABASE_URL (PostgreSQL 17 with pgvector where that can
# be had), TEST_DATABASE_URL_15 (PostgreSQL 15, where it is installed) and
# TEST_REDIS_URL. One that is set already is left alone. Servers listen on free
# ports of 127.0.0.1, one set for each checkout, and another for each SERVICES_NAME; SERVICES_ONLY
# (postgres, redis) starts one of them alone. What cannot be started is said in
# a sentence and is an error only when COSTPROF_REQUIRE names it (postgres, redis).
#
# It takes containers where Docker runs; as root on Debian else PostgreSQL 17 from
# packages in a root directory of its own (made once, kept in COSTPROF_SERVICES or
# /var/cache/costprof-test); else whatever PostgreSQL and Redis are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${COSTPROF_SERVICES:-}
if [ -z "$cache" ]; then
	if [ "$(id -u)" = 0 ]; then cache=/var/cache/costprof-test; else cache=${XDG_CACHE_HOME:-$HOME/.cache}/costprof-test; fi
fi
name=$(pwd -P | cksum | cut -d' ' -f1)${SERVICES_NAME:+-$SERVICES_NAME} # of this checkout
state=$cache/$name
root=$cache/trixie
compose="docker compose -p costprof-test-$name -f -"

say() { echo "services: $*" >&2; }

# cannot SERVICE SENTENCE
cannot() {
	case ",${COSTPROF_REQUIRE:-}," in
	*",$1,"*)
		say "$2, and $1 is required"
		exit 1
		;;
	esac
	say "$2: tests with $1 are left out"
}

free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
}

# port_of VARIABLE: the port that a server had before, or a free one.
port_of() {
	[ -e "$state/$1.port" ] || free_port >"$state/$1.port"
	cat "$state/$1.port"
}

wanted() { case "${SERVICES_ONLY:-$1}" in "$1") ;; *) return 1 ;; esac; }

# install COMMAND PACKAGE: says whether the command is there, installing it as root on Debian.
install() {
	if command -v "$1" >/dev/null 2>&1; then return 0; fi
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then return 1; fi
	say "installing $2"
	# The package must not start a server of its own.
	{ apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"; } >&2 || return 1
	command -v "$1" >/dev/null 2>&1
}

containers() {
	cat <<-YAML
		services:
		  postgres:
		    image: pgvector/pgvector:pg17
		    environment: {POSTGRES_PASSWORD: costprof, POSTGRES_DB: costprof}
		    command: postgres -c max_connections=300 -c shared_buffers=512MB
		    shm_size: 1gb
		    ports: ["127.0.0.1:$(port_of TEST_DATABASE_URL):5432"]
		    healthcheck: {test: ["CMD", "pg_isready", "-U", "postgres", "-d", "costprof"], interval: 1s, retries: 60}
		  redis:
		    image: redis:7
		    command: redis-server --save '' --appendonly no
		    ports: ["127.0.0.1:$(port_of TEST_REDIS_URL):6379"]
		    healthcheck: {test: ["CMD", "redis-cli", "ping"], interval: 1s, retries: 60}
	YAML
}

with_docker() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

# as_server PREFIX CMD...: runs a command as a user that PostgreSQL accepts, in a root directory or here.
as_server() {
	local prefix=$1
	shift
	if [ -n "$prefix" ]; then
		chroot --userspec=postgres:postgres "$prefix" /usr/bin/env PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/tmp "$@"
	elif [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
	else
		"$@"
	fi
}

# start_postgres VARIABLE PREFIX BIN DATA: DATA as seen inside PREFIX.
start_postgres() {
	local variable=$1 prefix=$2 bin=$3 data=$4 port
	if as_server "$prefix" "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then return 0; fi
	if [ ! -e "$prefix$data/PG_VERSION" ]; then
		rm -rf "$prefix$data.new" "$prefix$data"
		mkdir -p "$prefix$(dirname "$data")"
		mkdir -m 700 "$prefix$data.new"
		if [ "$(id -u)" = 0 ]; then
			if [ -n "$prefix" ]; then chroot "$prefix" chown postgres:postgres "$data.new"; else chown postgres:postgres "$data.new"; fi
		fi
		as_server "$prefix" "$bin/initdb" -D "$data.new" -U postgres -A trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$state/initdb.log" 2>&1 || {
			tail -5 "$state/initdb.log" >&2
			return 1
		}
		mv "$prefix$data.new" "$prefix$data"
	fi
	port=$(port_of "$variable")
	# Shared memory in files of the data directory: a bare root has no /dev/shm.
	as_server "$prefix" "$bin/pg_ctl" -D "$data" -w -t 60 -l "$data/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
		-c max_connections=300 -c shared_buffers=512MB -c max_wal_size=4GB -c dynamic_shared_memory_type=sysv ${POSTGRES_OPTIONS:-}" start >/dev/null || {
		tail -5 "$prefix$data/log" >&2
		return 1
	}
	echo "as_server '$prefix' '$bin/pg_ctl' -D '$data' -m immediate -w stop >/dev/null" >"$state/$variable.halt"
	cat >"$state/$variable.stop" <<-STOP
		as_server '$prefix' '$bin/pg_ctl' -D '$data' -m fast -w stop >/dev/null
	STOP
	echo "postgres://postgres@127.0.0.1:$port/postgres" >"$state/$variable"
	say "PostgreSQL $(cat "$prefix$data/PG_VERSION") listens on port $port, data in $prefix$data"
}

start_root() {
	[ "$(id -u)" = 0 ] && [ "$(uname)" = Linux ] && command -v apt-get >/dev/null 2>&1 && install debootstrap debootstrap || return 1
	if [ ! -e "$root/usr/lib/postgresql/17/bin/postgres" ]; then
		say "making $root with PostgreSQL 17 and pgvector: half a minute, once"
		rm -rf "$root.new"
		debootstrap --variant=minbase --include=postgresql-17,postgresql-17-pgvector trixie "$root.new" >"$cache/debootstrap.log" 2>&1 || {
			tail -3 "$cache/debootstrap.log" >&2
			return 1
		}
		rm -rf "$root"
		mv "$root.new" "$root"
	fi
	start_postgres TEST_DATABASE_URL "$root" /usr/lib/postgresql/17/bin "/srv/$name"
}

# installed VERSION: the programs of an installed PostgreSQL; without a version, of the newest.
installed() {
	local dir
	for dir in $(ls -d "/usr/lib/postgresql/${1:-*}/bin" "/usr/pgsql-${1:-*}/bin" 2>/dev/null | sort -rV); do
		if [ -x "$dir/initdb" ]; then
			echo "$dir"
			return
		fi
	done
	if [ -z "${1:-}" ] && command -v initdb >/dev/null 2>&1; then dirname "$(command -v initdb)"; fi
}

start_redis() {
	local port
	[ -z "${TEST_REDIS_URL:-}" ] || return 0
	if [ -e "$state/TEST_REDIS_URL" ] && redis-cli -u "$(cat "$state/TEST_REDIS_URL")" ping >/dev/null 2>&1; then return 0; fi
	install redis-server redis-server || {
		cannot redis "redis-server is not here and can only be installed by root on Debian"
		return 0
	}
	port=$(port_of TEST_REDIS_URL)
	mkdir -p "$state/redis"
	redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --daemonize yes \
		--dir "$state/redis" --pidfile "$state/redis/pid" --logfile "$state/redis/log" >/dev/null
	echo "redis-cli -p $port shutdown nosave >/dev/null 2>&1" >"$state/TEST_REDIS_URL.stop"
	echo "redis://127.0.0.1:$port" >"$state/TEST_REDIS_URL"
	for _ in $(seq 100); do
		if redis-cli -p "$port" ping >/dev/null 2>&1; then
			say "Redis listens on port $port"
			return 0
		fi
		sleep 0.05
	done
	cannot redis "redis-server did not start (see $state/redis/log)"
}

start() {
	mkdir -p "$state"
	if [ "$(id -u)" = 0 ]; then chmod 755 "$cache" "$state"; fi
	exec 9>"$cache/lock"
	if command -v flock >/dev/null 2>&1; then flock 9; fi
	if [ -z "${TEST_DATABASE_URL:-}${TEST_REDIS_URL:-}" ] && with_docker; then
		containers | $compose up -d --wait ${SERVICES_ONLY:-} >&2
		echo "containers | \$compose down -v >&2" >"$state/docker.stop"
		echo "containers | \$compose kill postgres >&2" >"$state/docker.halt"
		if wanted postgres; then echo "postgres://postgres:costprof@127.0.0.1:$(port_of TEST_DATABASE_URL)/costprof" >"$state/TEST_DATABASE_URL"; fi
		if wanted redis; then echo "redis://127.0.0.1:$(port_of TEST_REDIS_URL)" >"$state/TEST_REDIS_URL"; fi
	else
		local bin
		bin=$(installed || true)
		if wanted postgres && [ -z "${TEST_DATABASE_URL:-}" ] && ! start_root 9>&-; then
			if [ -z "$bin" ]; then
				cannot postgres "no Docker and no PostgreSQL is here, and to install it takes root on Debian"
			elif ! start_postgres TEST_DATABASE_URL "" "$bin" "$state/postgres" 9>&-; then
				cannot postgres "PostgreSQL from $bin did not start"
			fi
		fi
		if [ -z "${SERVICES_ONLY:-}${TEST_DATABASE_URL_15:-}" ] && [ -n "$(installed 15)" ]; then
			start_postgres TEST_DATABASE_URL_15 "" "$(installed 15)" "$state/postgres-15" 9>&- || say "PostgreSQL 15 did not start"
		fi
		if wanted redis; then start_redis 9>&-; fi
	fi
	local variable
	for variable in TEST_DATABASE_URL TEST_DATABASE_URL_15 TEST_REDIS_URL; do
		if [ -z "${!variable:-}" ] && [ -e "$state/$variable" ]; then echo "export $variable='$(cat "$state/$variable")'"; fi
	done
	exec 9>&-
}

stop() {
	local how
	for how in "$state"/*.stop; do
		[ -e "$how" ] || continue
		. "$how" || true
		rm -f "$how" "${how%.stop}"
	done
	rm -f "$state"/TEST_* "$state"/*.halt
	# What a named set stored was for one test.
	if [ -n "${SERVICES_NAME:-}" ]; then rm -rf "$state" "$root/srv/$name"; fi
}

halt() {
	local how
	for how in "$state"/*.halt; do
		[ ! -e "$how" ] || . "$how"
	done
}

case ${1:-} in
start) start ;;
stop) stop ;;
halt) halt ;;
run)
	shift
	mine=true # whoever started them stops them
	for how in "$state"/*.stop; do [ ! -e "$how" ] || mine=false; done
	variables=$(start)
	eval "$variables"
	if $mine; then trap stop EXIT; fi
	"$@"
	;;
*)
	sed -n '3,7s/^# *//p' "$0" >&2
	exit 2
	;;
esac
