# What the scripts beside this one have in common: the programs, a screen, a server, and what is cleaned up behind them. They
# source it from the repository's root:
#
#     programs PROFILE FEATURES    build them, unless BIN names the directory where they are
#     needs PACKAGES TOOLS...      end with a word if a tool is missing
#     screen                       an Xvfb, and a home of its own for all programs
#     serve PORT [ARGUMENT...]     a server without TLS; sets `port` and `server`, its process

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# fail WORDS...: end, with what the programs said last.
fail() {
    echo "$*" >&2
    tail -n 5 "$work"/*.log >&2 || true
    exit 1
}

# until_ COMMAND...: wait until it succeeds.
until_() {
    for _ in $(seq "${patience:-600}"); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "waited in vain: $*"
}

programs() {
    if [[ -z ${BIN:-} ]]; then
        local profile=(--profile "$1")
        cargo build "${profile[@]}" --features "$2"
        [[ $1 == dev ]] && set -- debug "$2"
        BIN=${CARGO_TARGET_DIR:-target}/$1
    fi
    BIN=$(cd "$BIN" && pwd)
}

needs() {
    for tool in "${@:2}"; do
        command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install $1" >&2; exit 1; }
    done
}

screen() {
    exec 3>"$work/display"
    Xvfb -displayfd 3 -screen 0 1280x860x24 -nolisten tcp >"$work/xvfb.log" 2>&1 &
    started+=($!)
    until_ test -s "$work/display"
    DISPLAY=:$(cat "$work/display")
    export DISPLAY HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
}

serve() {
    "$BIN/chatnet-server" --plaintext --host 127.0.0.1 --port "$1" --data-dir "$work/server" "${@:2}" \
        >"$work/server.log" 2>&1 &
    server=$!
    started+=("$server")
    until_ grep -q "listening on" "$work/server.log"
    port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/server.log" | head -1)
}

window() { xdotool search --onlyvisible --name chatnet | tail -1 | grep .; }

# client ARGUMENT...: the desktop client; there is no window manager to give it the keyboard.
client() {
    "$BIN/chatnet-gui" "$@" >"$work/gui.log" 2>&1 &
    gui=$!
    started+=("$gui")
    until_ window
    until_ xdotool windowfocus "$(window)"
}

leave() {
    kill "$gui"
    wait "$gui" 2>/dev/null || true
}

# talker ALIAS ROOM: the terminal client; what comes in by stdin is said.
talker() {
    "$BIN/chatnet" --plaintext --host 127.0.0.1 --port "$port" --name "$1" --room "$2" --plain --no-outbox
}
