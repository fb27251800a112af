#!/usr/bin/env bash
# Pictures of the real desktop client, on a real server, driven from outside: tests/gui/screenshots.sh [DIRECTORY]
#
# Needs Xvfb, xdotool and ImageMagick (Debian: xvfb xdotool imagemagick) and what the README names for the window. The
# programs are built, unless BIN names the directory where they are. With SLINT_BACKEND=winit-software nothing of OpenGL is
# used.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-target/screenshots}
mkdir -p "$out"
out=$(cd "$out" && pwd)
source tests/gui/common.sh
patience=200

programs dev server,cli,gui
needs "xvfb xdotool imagemagick" Xvfb xdotool import
screen
serve 0

# talk ALIAS ROOM: a line in is a message.
talk() {
    mkfifo "$work/$1"
    talker "$1" "$2" <"$work/$1" >"$work/$1.log" 2>&1 &
    started+=($!)
    eval "exec {fd_$1}>\"$work/$1\""
    until_ grep -q "connected as" "$work/$1.log"
}
say() {
    local fd="fd_$1"
    printf '%s\n' "$2" >&"${!fd}"
    sleep 0.15
}
talk Bob engine-room
talk Zoe engine-room
talk Carl lobby
say Bob "/topic Release on Friday. Logs are in the cellar, don't wake the cat"
say Bob "The pump runs again. It was the valve, as always."
say Bob "I wrote down what I did, so that the next one doesn't have to take everything apart: close the intake, let it drain for a minute, turn the valve by a quarter."
say Zoe "Thank you! 🎉"
say Zoe "👏🔥"
say Bob "早上好！今天的发布准备好了吗？"
say Zoe "صباح الخير، كل شيء جاهز"
say Carl "Has anybody seen the big spanner?"

# shot NAME: once nothing moves any more.
shot() {
    local before="" now
    for _ in $(seq 40); do
        sleep 0.25
        now=$(import -window root rgb:- | cksum)
        [[ $now == "$before" ]] && break
        before=$now
    done
    import -window root "$out/$1.png"
    echo "$out/$1.png"
}
# theme NAME: as the person has chosen it.
theme() {
    mkdir -p "$XDG_CONFIG_HOME/chatnet"
    printf '{"theme":"%s","servers":[%s]}\n' "$1" "${2:-}" >"$XDG_CONFIG_HOME/chatnet/gui.json"
}
# sized ARGUMENT...: the client, of this size.
sized() {
    client "$@"
    id=$(window)
    xdotool windowmove "$id" 0 0 windowsize "$id" "${size[@]}"
    sleep 1
}
type_() { xdotool type --delay 15 -- "$1"; }
key() { xdotool key --delay 60 "$@"; }

size=(1180 760)
theme light '{"host":"chat.example.org","port":50000,"alias":"ada","account":true,"secure":true},{"host":"127.0.0.1","port":50000,"alias":"ada","account":false,"secure":true}'
sized
shot connect
leave

for look in light dark; do
    theme "$look"
    sized "127.0.0.1:$port" --alias Ada --plaintext
    until_ grep -q . "$work/Bob.log"
    type_ "/join engine-room"
    key Return
    sleep 1
    say Bob "Hello @Ada, you come just in time"
    type_ "Good morning everybody"
    key Return
    sleep 0.5
    say Zoe "We wait for your yes before we pull the lever."
    say Carl "Never mind, it was under the table."
    sleep 0.5
    shot "room-$look"
    if [[ $look == light ]]; then
        type_ "/"
        shot commands
        key BackSpace
        key shift+Tab
        sleep 0.2
        key space
        sleep 0.5
        shot emoji
        key Escape
        key ctrl+k
        shot switcher
        key Escape
        xdotool windowsize "$id" 480 360
        shot narrow
        xdotool windowsize "$id" "${size[@]}"
        kill -STOP "$server"
        kill -KILL "$server"
        sleep 1
        type_ "This is written offline, and goes out later"
        key Return
        sleep 0.5
        shot offline
        leave
        serve "$port"
        for name in Bob Zoe Carl; do until_ grep -q "again\|as somebody new\|back" "$work/$name.log"; done
    else
        leave
    fi
done
