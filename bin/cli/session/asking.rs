//! Questions, whose answers are lines of stdin: none of them ever becomes a text.

use chatnet::Events;

use super::Session;
use crate::output::{Output, Own};
use crate::secret::Quiet;
use crate::stdin::Input;

/// What a line is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    what: &'a str,
    is_secret: bool,
}

pub(super) fn secret(what: &str) -> Question<'_> {
    Question { what, is_secret: true }
}

pub(super) fn plain(what: &str) -> Question<'_> {
    Question { what, is_secret: false }
}

impl Session {
    /// Ask; the next lines are the answers, whatever they look like. All of them are taken before any is looked at: if the
    /// first was wrong, the second isn't said for that. None if nothing is to be done, which is told.
    pub(super) async fn ask<const N: usize>(
        &mut self,
        questions: [Question<'_>; N],
        events: &mut Events,
        input: &mut Input,
        output: &mut Output,
    ) -> Option<[String; N]> {
        let mut answers = Vec::with_capacity(N);
        for Question { what, is_secret } in questions {
            // Before it is asked: a fast answer isn't shown either.
            let _quiet = (is_secret && output.is_terminal()).then(Quiet::new);
            let how = if is_secret { "; it isn't shown, and goes to nobody but the server" } else { "" };
            output.own(&Own::Info(&format!("* type {what}{how}")));
            output.flush();
            answers.push(self.meanwhile(input.answer(), events, output).await?);
        }
        let answers: Result<Vec<String>, &str> = answers
            .into_iter()
            .map(|answer| match answer {
                None => Err("the input has ended"),
                Some(Ok(answer)) if answer.is_empty() => Err("the line is empty"),
                Some(answer) => answer,
            })
            .collect();
        match answers.map(<[String; N]>::try_from) {
            Ok(Ok(answers)) => Some(answers),
            Ok(Err(_)) => None,
            Err(why) => {
                output.own(&Own::Error { code: "nothing_done", message: &format!("nothing was done: {why}") });
                self.lead_nowhere(output);
                None
            }
        }
    }

    /// What is piped in was written for a room that there isn't, or holds more answers than were asked for: it is said
    /// nowhere, until a room is chosen. A person sees where they are.
    pub(super) fn lead_nowhere(&mut self, output: &mut Output) {
        if !output.is_terminal() && self.current.take().is_some() {
            output.own(&Own::Info(&format!("* {}", self.nowhere())));
        }
    }
}
