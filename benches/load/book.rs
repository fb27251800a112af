//! Who has had what: every delivery is checked, and nothing may be lost, doubled or out of order.

use super::{Result, Shape};

/// A message's text begins with its sender (4 letters), its number (8) and a time (12), four bits a letter.
pub const STAMP: usize = 24;

/// What is known of every sender and every receiver.
#[derive(Debug)]
pub struct Book {
    shape: Shape,
    /// Senders of one room.
    slots: usize,
    /// By receiver and sender: the last number heard.
    heard: Vec<u32>,
    /// By receiver: the last seq of the room.
    cursors: Vec<u64>,
    /// By sender: deliveries, and how many make one message.
    delivered: Vec<u64>,
    fan_out: Vec<u64>,
    /// By sender: the last number that was acked.
    acked: Vec<u64>,
    total: u64,
    /// Senders of whom a message has reached everybody since this was cleared.
    pub completed: Vec<u32>,
    delays: Option<Vec<u32>>,
    wrong: Vec<String>,
}

impl Book {
    pub fn new(shape: Shape) -> Self {
        let slots = shape.senders.div_ceil(shape.rooms).max(1);
        let members = |room: usize| (shape.clients - room).div_ceil(shape.rooms);
        let fan_out = (0..shape.senders).map(|s| members(s % shape.rooms) as u64 - 1).collect();
        Self {
            shape,
            slots,
            heard: vec![0; shape.clients * slots],
            cursors: vec![0; shape.clients],
            delivered: vec![0; shape.senders],
            fan_out,
            acked: vec![0; shape.senders],
            total: 0,
            completed: Vec::new(),
            delays: None,
            wrong: Vec::new(),
        }
    }

    /// `receiver` was sent `count` events from `seq` on: behind what it had, in the room's order.
    #[inline]
    pub fn run(&mut self, receiver: usize, seq: u64, count: u64) {
        let cursor = self.cursors[receiver];
        if seq <= cursor {
            self.wrong(|| format!("{receiver} is sent seq {seq} behind seq {cursor}"));
        }
        self.cursors[receiver] = seq + count - 1;
    }

    /// `receiver` was sent this text at the time `now`, in microseconds.
    #[inline]
    pub fn heard(&mut self, receiver: usize, text: &[u8], now: u64) {
        if text.len() != self.shape.payload.max(STAMP) {
            return self.wrong(|| format!("{receiver} is sent a text of {} bytes", text.len()));
        }
        let (sender, n) = (letters(&text[..4]) as usize, letters(&text[4..12]) as u32);
        if sender >= self.shape.senders
            || sender == receiver
            || sender % self.shape.rooms != receiver % self.shape.rooms
        {
            return self.wrong(|| format!("{receiver} is sent a text of {sender}"));
        }
        let last = &mut self.heard[receiver * self.slots + sender / self.shape.rooms];
        let expected = *last + 1;
        *last = n;
        if n != expected {
            self.wrong(|| format!("{receiver} is sent number {n} of {sender} in the place of {expected}"));
        }
        self.total += 1;
        self.delivered[sender] += 1;
        if self.delivered[sender].is_multiple_of(self.fan_out[sender]) {
            self.completed.push(sender as u32);
        }
        if let Some(delays) = &mut self.delays {
            delays.push(now.saturating_sub(letters(&text[12..24])) as u32);
        }
    }

    /// The numbers from `n` on of a sender were acked.
    #[inline]
    pub fn acked(&mut self, sender: usize, n: u64, count: u64) {
        if n != self.acked[sender] + 1 {
            self.wrong(|| format!("{sender} is acked number {n} out of order"));
        }
        self.acked[sender] = n + count - 1;
    }

    /// How many of a sender's messages everybody has, at least.
    pub fn everybody_has(&self, sender: usize) -> u32 {
        (self.delivered[sender] / self.fan_out[sender]) as u32
    }

    /// Deliveries so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Deliveries that are still to come.
    pub fn due(&self, sent: &[u32]) -> u64 {
        let expected: u64 = sent.iter().zip(&self.fan_out).map(|(sent, fan_out)| u64::from(*sent) * fan_out).sum();
        expected.saturating_sub(self.total)
    }

    pub fn keep_delays(&mut self) {
        self.delays = Some(Vec::new());
    }

    /// All delays, in microseconds, the least first.
    pub fn delays(&mut self) -> Vec<u32> {
        let mut delays = self.delays.take().unwrap_or_default();
        delays.sort_unstable();
        delays
    }

    /// Whether everything came that should have, and nothing else.
    pub fn check(&mut self, sent: &[u32]) -> Result<()> {
        let expected: u64 = sent.iter().zip(&self.fan_out).map(|(sent, fan_out)| u64::from(*sent) * fan_out).sum();
        if self.total != expected {
            let total = self.total;
            self.wrong(|| format!("{expected} deliveries were to come, and {total} came"));
        }
        for (sender, &sent) in sent.iter().enumerate() {
            let acked = self.acked[sender];
            if acked != u64::from(sent) {
                self.wrong(|| format!("{sender} sent {sent} messages and was acked {acked}"));
            }
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(self.wrong.join("\n").into()) }
    }

    #[cold]
    fn wrong(&mut self, what: impl FnOnce() -> String) {
        // The first few say enough.
        if self.wrong.len() < 10 {
            self.wrong.push(what());
        }
    }
}

/// Put the stamp of a message into its text.
pub fn stamp(sender: usize, n: u32, at: u64, text: &mut [u8]) {
    put(sender as u64, &mut text[..4]);
    put(n.into(), &mut text[4..12]);
    put(at, &mut text[12..24]);
}

fn put(mut n: u64, text: &mut [u8]) {
    for letter in text.iter_mut().rev() {
        *letter = b'a' + (n & 15) as u8;
        n >>= 4;
    }
}

#[inline]
fn letters(text: &[u8]) -> u64 {
    text.iter().fold(0, |n, letter| n << 4 | u64::from(letter.wrapping_sub(b'a') & 15))
}
