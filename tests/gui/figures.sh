#!/usr/bin/env bash
# What the desktop client costs: tests/gui/figures.sh [RENDERER...], winit-software and winit-femtovg by default.
#
# Start to first frame (median of five), processor time while idle, memory, and how long the window stands still at worst
# while messages come and while somebody scrolls. The real programs, release builds, under Xvfb; with femtovg Mesa's llvmpipe
# draws. Needs Xvfb and xdotool (Debian: xvfb xdotool) and a quiet machine. The programs are built, unless BIN names the
# directory where they are.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ -z ${BIN:-} ]]; then
    cargo build --release --features server,cli,gui
    BIN=${CARGO_TARGET_DIR:-target}/release
fi
for tool in Xvfb xdotool; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install xvfb xdotool" >&2; exit 1; }
done

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
until_() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "waited in vain: $*" >&2
    exit 1
}

exec 3>"$work/display"
Xvfb -displayfd 3 -screen 0 1280x860x24 -nolisten tcp >"$work/xvfb.log" 2>&1 &
started+=($!)
until_ test -s "$work/display"
DISPLAY=:$(cat "$work/display")
export DISPLAY HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state

"$BIN/chatnet-server" --plaintext --host 127.0.0.1 --port 0 --no-limits --durability normal --data-dir "$work/server" \
    >"$work/server.log" 2>&1 &
started+=($!)
until_ grep -q "listening on" "$work/server.log"
port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/server.log" | head -1)

window() { xdotool search --onlyvisible --name chatnet | tail -1 | grep .; }
client() {
    RUST_LOG='' "$BIN/chatnet-gui" "$@" >"$work/gui.log" 2>&1 &
    gui=$!
    started+=("$gui")
    until_ window
    until_ xdotool windowfocus "$(window)"
}
leave() {
    kill "$gui"
    wait "$gui" 2>/dev/null || true
}
first_frame() { sed -n 's/.*first frame was there after \([0-9]*\) ms.*/\1/p' "$work/gui.log"; }
ticks() { awk '{print $14 + $15}' "/proc/$gui/stat"; }
rss() { awk '/^VmRSS/ {printf "%.0f MiB", $2 / 1024}' "/proc/$gui/status"; }
worst() { tail -n "+$1" "$work/gui.log" | sed -n 's/.*stood still for \([0-9]*\) ms.*/\1/p' | sort -n | tail -1; }
lines() { wc -l <"$work/gui.log"; }
# talk ROOM FIRST LAST PAUSE: numbered messages, so many seconds apart; none: as fast as they are taken.
talk() {
    seq "$2" "$3" | while read -r n; do
        echo "message $n: the quick brown fox jumps over the lazy dog, and the dog says nothing to it"
        [[ $4 == 0 ]] || sleep "$4"
    done | "$BIN/chatnet" --plaintext --host 127.0.0.1 --port "$port" --name Bob --room "$1" --plain --no-outbox \
        >/dev/null 2>"$work/talk.log"
}

for renderer in "${@:-winit-software winit-femtovg}"; do
    for SLINT_BACKEND in $renderer; do
        export SLINT_BACKEND
        echo "== $SLINT_BACKEND"
        for _ in 1 2 3 4 5; do
            client --log chatnet_gui=debug
            until_ first_frame
            sleep 1
            first_frame
            leave
        done | sort -n | sed -n '3s/.*/start to first frame: & ms (median of five)/p'

        room=$SLINT_BACKEND
        # Nothing is watched while it idles: a watch costs.
        client "127.0.0.1:$port" --alias Ada --plaintext
        sleep 3
        xdotool type --delay 15 "/join $room"
        xdotool key Return
        sleep 3
        echo "memory at start: $(rss)"
        before=$(ticks)
        sleep 60
        echo "processor while idle for 60 s, connected, the cursor blinking: $(awk "BEGIN {print ($(ticks) - $before) / 60}") %"
        leave

        client "127.0.0.1:$port" --alias Ada --plaintext --log chatnet_gui=debug
        sleep 3
        xdotool type --delay 15 "/join $room"
        xdotool key Return
        sleep 3
        from=$(lines)
        talk "$room" 1 2000 0.004
        sleep 1
        echo "worst stall while up to 200 messages a second come: $(worst "$from") ms (none told: < 20)"
        talk "$room" 2001 50000 0
        sleep 5
        echo "memory with 50,000 messages: $(rss)"
        from=$(lines)
        xdotool mousemove 640 400
        for _ in $(seq 100); do xdotool click --repeat 3 --delay 20 4; done
        sleep 1
        echo "worst stall while scrolling up through them: $(worst "$from") ms (none told: < 20)"
        leave

        client "127.0.0.1:$port" --alias Ada --plaintext --log chatnet_gui=debug
        sleep 3
        xdotool type --delay 15 "/join $room"
        xdotool key Return
        sleep 3
        from=$(lines)
        xdotool mousemove 640 400
        for _ in $(seq 100); do xdotool click --repeat 3 --delay 20 4; done
        sleep 1
        echo "worst stall while scrolling up through history that is fetched meanwhile: $(worst "$from") ms (none told: < 20)"
        leave
    done
done
