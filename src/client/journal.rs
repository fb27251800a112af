//! The outbox on disk: written on the threads for blocking work, synced before anything of it is sent.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::channel::oneshot;

use super::error::ConnectError;
use super::event::Event;
use super::link::Link;
use super::opening::Token;
use super::rooms::{RoomState, Slot, Standing};
use super::state::State;
use crate::id::{Alias, OutboxId, RoomId, RoomName, Seq};
use crate::rt;
use crate::session::cursor::Cursor;
use crate::session::journal::{self, Record, Restored, Session};
use crate::session::outbox::Outbox;

/// What the file may hold besides twice what is undecided, in bytes, before it is written anew.
const SLACK: u64 = 64 * 1024;

const FORMAT: u16 = 1;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    records: Vec<u8>,
    /// There is something among it that has to be on the disk before anything else happens.
    sync: bool,
    /// Everything has to be written anew.
    anew: bool,
    /// The rooms that the file knows.
    known: HashSet<RoomId>,
    /// Every room that has numbers.
    names: HashMap<RoomId, RoomName>,
}

/// Something to write at once.
struct Batch {
    bytes: Vec<u8>,
    sync: bool,
    anew: bool,
    /// With it everything up to this serial of the outbox is kept.
    serial: u64,
}

impl State {
    /// A text is to be kept before it is sent.
    pub(super) fn journal_text(&mut self, room: RoomId, n: u64, text: &str) {
        let Some(pending) = &mut self.journal else { return };
        if pending.anew {
            return;
        }
        if pending.known.insert(room) {
            let Some(name) = pending.names.get(&room).cloned() else { return };
            journal::write(&Record::Room(room, name, n), &mut pending.records);
        }
        journal::write(&Record::Text(room, n, text.to_owned()), &mut pending.records);
        pending.sync = true;
    }

    /// A room that something is said in.
    pub(super) fn journal_room(&mut self, room: RoomId) {
        if let (Some(pending), Some(known)) = (&mut self.journal, self.rooms.get(&room)) {
            pending.names.entry(room).or_insert_with(|| known.slot.name.clone());
        }
    }

    /// Texts of a room were decided: they needn't be kept any longer.
    pub(super) fn journal_decided(&mut self, room: RoomId) {
        let Some(pending) = self.journal.as_mut().filter(|pending| !pending.anew) else { return };
        if pending.known.contains(&room) {
            journal::write(&Record::Decided(room, self.outbox.first(room)), &mut pending.records);
        }
    }

    /// The session has another token, or none.
    pub(super) fn journal_session(&mut self) {
        let record = self.session_record();
        if let (Some(pending), Some(record)) = (self.journal.as_mut().filter(|pending| !pending.anew), record) {
            journal::write(&record, &mut pending.records);
            pending.sync = true;
        }
    }

    fn session_record(&self) -> Option<Record> {
        let token = self.token.as_ref().map(|token| token.0.clone().into());
        // The wished one, if there was one: whoever comes with the same wish is the same, whatever they are called by now.
        let wished = Alias::parse(&self.settings.alias).ok();
        let (lineage, principal, alias) = (self.lineage?, self.principal?, wished.or_else(|| self.alias.clone())?);
        Some(Record::Session(Session { token, lineage, principal, alias }))
    }

    /// Numbers have changed: nothing in the file holds any more.
    pub(super) fn rewrite_journal(&mut self) {
        if let Some(pending) = &mut self.journal {
            pending.anew = true;
        }
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        rooms.into_iter().for_each(|room| self.journal_room(room));
    }

    /// The outbox is about to be emptied without being decided: keep what it holds.
    pub(super) fn close_journal(&mut self) {
        if self.journal.as_ref().is_some_and(|pending| pending.anew) {
            let all = self.whole_journal();
            if let Some(pending) = &mut self.journal {
                (pending.records, pending.sync) = (all, true);
            }
        }
    }

    /// The file as it has to be now.
    fn whole_journal(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        journal::write(&Record::Begin(FORMAT, self.outbox.id()), &mut out);
        if let Some(record) = self.session_record() {
            journal::write(&record, &mut out);
        }
        let Some(pending) = &mut self.journal else { return out };
        pending.known.clear();
        for (room, first, texts) in self.outbox.contents() {
            let Some(name) = pending.names.get(&room) else { continue };
            pending.known.insert(room);
            journal::write(&Record::Room(room, name.clone(), first), &mut out);
            for (n, text) in (first..).zip(texts) {
                journal::write(&Record::Text(room, n, text.to_owned()), &mut out);
            }
        }
        out
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let serial = self.outbox.serial();
        let closed = self.closed.is_some();
        let all = self.journal.as_ref().is_some_and(|pending| pending.anew && !closed).then(|| self.whole_journal());
        let pending = self.journal.as_mut()?;
        let anew = std::mem::take(&mut pending.anew);
        let sync = std::mem::take(&mut pending.sync) || anew;
        let records = std::mem::take(&mut pending.records);
        let bytes = all.unwrap_or(records);
        (!bytes.is_empty()).then_some(Batch { bytes, sync, anew, serial })
    }

    /// Take over what an earlier client has left.
    fn restore(&mut self, restored: Restored) {
        let mut pending = Pending::default();
        self.outbox = Outbox::new(restored.outbox, self.settings.outbox_bytes);
        if let Some(session) = restored.session {
            let wish = &self.settings.alias;
            let same = wish.is_empty() || Alias::parse(wish).is_ok_and(|wish| wish == session.alias);
            if same {
                self.token = session.token.map(|token| Token(token.into()));
                self.alias = Some(session.alias);
            }
            // Whoever comes without the token is somebody else, with the same numbers.
            self.principal = Some(session.principal);
            self.lineage = Some(session.lineage);
        }
        for room in restored.rooms {
            pending.names.insert(room.id, room.name.clone());
            self.outbox.restore(room.id, room.first);
            if room.texts.is_empty() {
                continue;
            }
            for text in room.texts {
                // Nobody waits for it; the event tells.
                let (token, _) = oneshot::channel();
                self.outbox.push(room.id, text, token);
            }
            let slot = Slot::new(room.name, room.id);
            let (standing, cursor, lineage) = (Standing::Away, Cursor::new(Seq::ZERO), None);
            let state = RoomState::new(slot, standing, cursor, lineage);
            self.rooms.insert(room.id, state);
        }
        if self.principal.is_none() {
            self.outbox.renumber(OutboxId::random());
        }
        self.journal = Some(pending);
        self.outbox.keep_first();
    }
}

/// An open file, and the right to it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    size: u64,
    /// Locked as long as this lives. A file of its own: the other one is replaced now and then.
    _lock: File,
}

/// Open a file, and take over what is in it.
pub(super) async fn open(path: PathBuf, state: &mut State) -> Result<Journal, ConnectError> {
    let failed = {
        let path = path.clone();
        move |source| ConnectError::Outbox { path: path.clone(), source }
    };
    let at = path.clone();
    let (lock, bytes) = rt::spawn_blocking(move || read(&at)).await.map_err(&failed)?;
    let restored = journal::read(&bytes).map_err(|_| {
        let text = "it is not an outbox of chatnet's, or of a later version's; move it away, or name another file";
        failed(io::Error::new(io::ErrorKind::InvalidData, text))
    })?;
    state.restore(restored.unwrap_or(Restored { outbox: OutboxId::random(), session: None, rooms: Vec::new() }));
    let all = state.whole_journal();
    let size = all.len() as u64;
    let at = path.clone();
    let file = rt::spawn_blocking(move || replace(&at, &all)).await.map_err(&failed)?;
    Ok(Journal { path, file, size, _lock: lock })
}

/// Write what is to be written, until the client is closed and everything is.
pub(super) async fn run(link: Arc<Link>, mut journal: Journal) {
    loop {
        let (batch, closed) = {
            let mut state = link.lock();
            (state.next_batch(), state.closed.is_some())
        };
        let Some(batch) = batch else {
            if closed {
                return;
            }
            link.journal.wait().await;
            continue;
        };
        let serial = batch.serial;
        let path = journal.path.clone();
        let written = rt::spawn_blocking(move || journal.write(&batch).map(|()| journal)).await;
        let mut state = link.lock();
        match written {
            Ok(written) => {
                journal = written;
                state.outbox.kept(serial);
                if journal.size > 2 * state.outbox.bytes() as u64 + SLACK {
                    state.rewrite_journal();
                }
            }
            Err(e) => {
                tracing::error!(file = %path.display(), "the outbox can't be kept on disk, and goes on in memory: {e}");
                // Numbers that are used from here on would be missing in it.
                let _ = fs::remove_file(&path);
                state.journal = None;
                state.outbox.keep_nothing();
                let text = format!("{}: {e}; make room, or name another file, and start again", path.display());
                state.events.push(Event::OutboxUnkept { text });
                drop(state);
                return link.output.notify();
            }
        }
        drop(state);
        link.output.notify();
    }
}

impl Journal {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.anew {
            self.file = replace(&self.path, &batch.bytes)?;
            self.size = batch.bytes.len() as u64;
            return Ok(());
        }
        self.file.write_all(&batch.bytes)?;
        self.size += batch.bytes.len() as u64;
        if batch.sync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Lock a file and read it.
fn read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let lock = private().create(true).truncate(false).open(beside(path, "lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let text = "another program is using it; end that, or name another file";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        Err(fs::TryLockError::Error(e)) => return Err(e),
    }
    match fs::read(path) {
        Ok(bytes) => Ok((lock, bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((lock, Vec::new())),
        Err(e) => Err(e),
    }
}

/// Put a new file in the place of the old one: whole, or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = beside(path, "new");
    let _ = fs::remove_file(&new);
    let mut file = private().create_new(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// A file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
