//! The outbox on disk.

use super::state::State;
use crate::id::RoomId;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {}

impl State {
    pub(super) fn journal_session(&mut self) {}
    pub(super) fn journal_decided(&mut self, _room: RoomId) {}
    pub(super) fn rewrite_journal(&mut self) {}
}

pub(super) struct File;
pub(super) async fn open(_: std::path::PathBuf, _: &mut State) -> Result<File, super::ConnectError> {
    Ok(File)
}
pub(super) async fn run(_: std::sync::Arc<super::link::Link>, _: File) {}
