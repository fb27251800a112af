#!/usr/bin/env bash
# Whether the desktop client calls who looks elsewhere, by the desktop's notifications, and nobody else: tests/gui/notify.sh
#
# Needs Xvfb, xdotool, D-Bus and its Python (Debian: xvfb xdotool dbus python3-dbus python3-gi); PYTHON names the Python that
# has it. The programs are built, unless BIN names the directory where they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${NOTIFY_BUS:-} ]] || NOTIFY_BUS=1 exec dbus-run-session -- "$0" "$@"

source tests/gui/common.sh
patience=200

packages="xvfb xdotool dbus python3-dbus python3-gi"
needs "$packages" Xvfb xdotool
PYTHON=${PYTHON:-python3}
"$PYTHON" -c "import dbus, gi" || { echo "$PYTHON has no D-Bus: apt-get install $packages; PYTHON=/usr/bin/python3" >&2; exit 1; }
programs dev server,cli,gui
screen
serve 0
told=$work/told
"$PYTHON" tests/gui/notifications.py "$told" >"$work/notifications.log" 2>&1 &
started+=($!)
until_ test -e "$told"

# Bob says what comes in by his pipe.
mkfifo "$work/bob"
talker Bob lobby <"$work/bob" >"$work/bob.log" 2>&1 &
started+=($!)
exec 4>"$work/bob"
until_ grep -q "connected as" "$work/bob.log"
# say TEXT: and give it the time to become a notification, for what is to become none can't be waited for.
say() {
    printf '%s\n' "$1" >&4
    sleep 1.5
}
# notes: how many there are.
notes() { wc -l <"$told"; }
is() { [[ $(notes) == "$1" ]] || fail "$2: $(notes) notifications instead of $1: $(cat "$told")"; }
look_elsewhere() { xdotool windowfocus "$(xdotool search --maxdepth 0 '.*' 2>/dev/null | head -1)"; sleep 0.5; }
look_here() { until_ xdotool windowfocus "$(window)"; sleep 0.5; }
# settings JSON: as the person has chosen.
settings() {
    mkdir -p "$XDG_CONFIG_HOME/chatnet"
    echo "$1" >"$XDG_CONFIG_HOME/chatnet/gui.json"
}
ada() {
    client "127.0.0.1:$port" --alias Ada --plaintext
    sleep 2
}

settings '{"notifications":true,"sound":false}'
ada
say "/msg Ada you see this"
is 0 "who looks at the window"
look_elsewhere
say "nothing of importance"
is 0 "what is for nobody"
# Two seconds are between two notifications.
sleep 2
say "/msg Ada is <b>this</b> & that right?"
until_ grep -qxF "Bob|is &lt;b&gt;this&lt;/b&gt; &amp; that right?" "$told"
is 1 "a direct message"
sleep 2
say "have a look, @Ada"
until_ grep -q "^Bob in lobby|have a look, @Ada$" "$told"
is 2 "a mention"
look_here
sleep 2
say "/msg Ada are you back?"
is 2 "who is back"
leave

settings '{"notifications":false,"sound":false}'
ada
look_elsewhere
say "/msg Ada are you there?"
sleep 2
say "Ada!"
is 2 "switched off"
leave
echo "a direct message and a mention call who looks elsewhere, and switched off nothing does"
