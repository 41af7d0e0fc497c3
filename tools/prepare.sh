# shellcheck shell=bash
# Sourced by tools/demo and tools/check: headings, packages, building.

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
        bold=$'\e[1m' plain=$'\e[0m'
fi

heading() {
        printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

fail() {
        printf '%s: %s\n' "${0##*/}" "$*" >&2
        exit 1
}

as_root() {
        if [ "$(id -u)" = 0 ]; then
                "$@"
        elif command -v sudo >/dev/null; then
                sudo -- "$@"
        else
                fail "\"$*\" needs root; there is no sudo"
        fi
}

# Everything that a process started, however deep.
descendants() {
        local child children=()
        read -r -a children 2>/dev/null <"/proc/$1/task/$1/children" || true
        for child in "${children[@]}"; do
                descendants "$child"
                echo "$child"
        done
}

end_supervised() {        # end_supervised CHILD SIGNAL STATUS
        local all
        trap '' TERM HUP
        mapfile -t all < <(descendants "$1")
        all+=("$1")
        kill -s "$2" "${all[@]}" 2>/dev/null || true
        for _ in {1..150}; do
                kill -s 0 "${all[@]}" 2>/dev/null || break        # fails when none of them is there
                sleep 0.1
        done
        kill -s KILL "${all[@]}" 2>/dev/null || true
        exit "$3"
}

# supervise "$@": the script's first statement. Runs the script once more as a child and passes SIGTERM and SIGHUP on to all that it started:
# bash by itself looks at a signal only when the program in the foreground has ended, which may be minutes later.
supervise() {
        [ "${ATTESTD_SUPERVISOR:-}" != $PPID ] || { unset ATTESTD_SUPERVISOR; return 0; }
        local child status=0
        ATTESTD_SUPERVISOR=$$ "$0" "$@" <&0 &
        child=$!
        # shellcheck disable=SC2064
        trap "end_supervised $child TERM 143" TERM
        # shellcheck disable=SC2064
        trap "end_supervised $child HUP 129" HUP
        trap '' INT        # the terminal sends it to the child as well
        wait "$child" || status=$?
        exit "$status"
}

# need_packages PURPOSE…: installs what is missing of tools/packages.txt; asks apt for nothing else.
need_packages() {
        local purposes=" $* " purpose packages missing=()
        while read -r purpose packages; do
                [[ $purposes == *" $purpose "* ]] || continue
                for package in $packages; do
                        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
                done
        done < <(grep -v '^#' "$source_root/tools/packages.txt")
        [ ${#missing[@]} -gt 0 ] || return 0
        heading "Installing ${#missing[@]} packages: ${missing[*]}"
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# build DIRECTORY [MESON-OPTION…]: configures the first time, builds always.
build() {
        local directory=$1
        shift
        if [ ! -f "$directory/build.ninja" ]; then
                meson setup "$directory" "$source_root" --werror "$@" >"$directory.log" 2>&1 || { cat "$directory.log"; rm -f "$directory.log"; return 1; }
                rm -f "$directory.log"
        fi
        if [ -t 1 ]; then
                ninja -C "$directory"
        else
                ninja -C "$directory" --quiet
        fi
}
