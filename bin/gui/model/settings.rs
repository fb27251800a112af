//! What is remembered from one start to the next. No secret is in it.

/// How the window looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// What the person has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) theme: Theme,
    pub(crate) notifications: bool,
    pub(crate) sound: bool,
    /// The text's size, in percent.
    pub(crate) zoom: u16,
}

impl Default for Choices {
    fn default() -> Self {
        Self { theme: Theme::System, notifications: true, sound: true, zoom: 100 }
    }
}

/// A server that one was on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) alias: String,
    pub(crate) account: bool,
    pub(crate) secure: bool,
}

/// Servers that are remembered.
const MAX_SERVERS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    pub(crate) choices: Choices,
    /// The last one first.
    pub(crate) servers: Vec<Server>,
    /// Rooms that don't call: server and name.
    pub(crate) muted: Vec<(String, String)>,
}

impl Settings {
    pub(crate) fn remember(&mut self, server: Server) {
        self.servers.retain(|known| (&known.host, known.port) != (&server.host, server.port));
        self.servers.insert(0, server);
        self.servers.truncate(MAX_SERVERS);
    }

    pub(crate) fn is_muted(&self, server: &str, room: &str) -> bool {
        self.muted.iter().any(|(s, r)| s == server && r == room)
    }

    /// Returns whether it is muted now.
    pub(crate) fn toggle_muted(&mut self, server: &str, room: &str) -> bool {
        let before = self.muted.len();
        self.muted.retain(|(s, r)| s != server || r != room);
        let muted = self.muted.len() == before;
        if muted {
            self.muted.push((server.into(), room.into()));
        }
        muted
    }
}
