#!/usr/bin/env bash
# What the desktop client costs: tests/gui/figures.sh [RENDERER...], winit-software and winit-femtovg by default.
#
# Start to first frame (median of five), processor time while idle, memory, and how long the window stands still at worst
# while messages come and while somebody scrolls. The real programs, release builds, under Xvfb; with femtovg Mesa's llvmpipe
# draws. Needs Xvfb and xdotool (Debian: xvfb xdotool) and a quiet machine. The programs are built, unless BIN names the
# directory where they are.
set -euo pipefail
cd "$(dirname "$0")/../.."

source tests/gui/common.sh

programs release server,cli,gui
needs "xvfb xdotool" Xvfb xdotool
screen
serve 0 --no-limits --durability normal

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
    done | talker Bob "$1" >/dev/null 2>"$work/talk.log"
}
# shows NUMBER: the window has come to this one of the room's messages.
shows() {
    local newest
    newest=$(sed -n 's/.*the conversation is shown up to number \([0-9]*\).*/\1/p' "$work/gui.log" | sort -n | tail -1)
    [[ -n $newest && $newest -ge $1 ]]
}
# enter ROOM: by the keyboard.
enter() {
    sleep 3
    xdotool type --delay 15 "/join $1"
    xdotool key Return
    sleep 3
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
        enter "$room"
        echo "memory at start: $(rss)"
        # In whole ticks of 10 ms: a second of them is 100 %.
        before=$(ticks)
        sleep 5
        echo "processor while the cursor blinks, for 5 s: $(awk "BEGIN {print ($(ticks) - $before) / 5}") %"
        # It stands still ten seconds after the last key.
        sleep 10
        before=$(ticks)
        sleep 60
        echo "processor while idle for 60 s, connected: $(awk "BEGIN {print ($(ticks) - $before) / 60}") %"
        leave

        client "127.0.0.1:$port" --alias Ada --plaintext --log chatnet_gui=debug
        enter "$room"
        from=$(lines)
        talk "$room" 1 2000 0.004
        until_ shows 2000
        echo "worst stall while up to 200 messages a second come: $(worst "$from") ms (none told: < 20)"
        talk "$room" 2001 50000 0
        until_ shows 50000
        sleep 5
        echo "memory with 50,000 messages: $(rss)"
        from=$(lines)
        xdotool mousemove 640 400
        for _ in $(seq 100); do xdotool click --repeat 3 --delay 20 4; done
        sleep 1
        echo "worst stall while scrolling up through them: $(worst "$from") ms (none told: < 20)"
        leave

        client "127.0.0.1:$port" --alias Ada --plaintext --log chatnet_gui=debug
        enter "$room"
        until_ shows 50000
        from=$(lines)
        xdotool mousemove 640 400
        for _ in $(seq 100); do xdotool click --repeat 3 --delay 20 4; done
        sleep 1
        echo "worst stall while scrolling up through history that is fetched meanwhile: $(worst "$from") ms (none told: < 20)"
        leave
    done
done
