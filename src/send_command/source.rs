//! The messages of this call: one, each line of the input, or none.

use super::input::{Input, Line};
use super::tag::Which;
use crate::client::Message;
use crate::protocol::Priority;
use nix::poll::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd as _;

/// The messages of this call.
#[derive(Debug)]
pub struct Source {
    /// The only message, until it is taken.
    only: Option<Message>,
    /// The input; `None`: there is none, it has ended, or reading was stopped.
    input: Option<Input>,
    priority: Priority,
    /// Reading was stopped after the line of this number.
    unread_from: Option<u64>,
}

/// What [`take`](Source::take) returned.
#[derive(Debug)]
pub enum Taken {
    /// A message.
    Message(Which, Message),
    /// The line of that number is too long for a message.
    TooLong(u64),
}

impl Source {
    /// No messages.
    pub fn none() -> Self {
        Self { only: None, input: None, priority: Priority::MIN, unread_from: None }
    }

    /// One message.
    pub fn one(message: Message) -> Self {
        Self { priority: message.priority(), only: Some(message), ..Self::none() }
    }

    /// Each line of that input, with that priority.
    pub fn lines(input: Input, priority: Priority) -> Self {
        Self { input: Some(input), priority, ..Self::none() }
    }

    /// The priority of the messages.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether no more messages will come.
    pub fn is_over(&self) -> bool {
        self.only.is_none() && self.input.is_none()
    }

    /// Whether more input may come.
    pub fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Whether no message can be taken now.
    pub fn is_dry(&self) -> bool {
        self.only.is_none() && self.input.as_ref().is_none_or(Input::is_dry)
    }

    /// Takes the next message or line; `None`: none is available now.
    pub fn take(&mut self) -> Option<Taken> {
        if let Some(message) = self.only.take() {
            return Some(Taken::Message(Which::Only, message));
        }
        let taken = loop {
            match self.input.as_mut()?.next() {
                None => break None,
                Some((number, Line::TooLong)) => break Some(Taken::TooLong(number)),
                Some((number, Line::Text(text))) => {
                    // `Message::new` accepts each of these lines: it is not empty, not too long, and has no LF. So no
                    // line is skipped.
                    if let Ok(message) = Message::new(self.priority, text) {
                        break Some(Taken::Message(Which::Line(number), message));
                    }
                }
            }
        };
        self.input.take_if(|input| input.is_over());
        taken
    }

    /// What to poll for more input; `None`: a message is available, or no more will come.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        let input = self.input.as_ref().filter(|input| input.is_dry())?;
        Some(PollFd::new(input.as_fd(), PollFlags::POLLIN))
    }

    /// Reads input once. Call it when the input is readable; otherwise it may block.
    ///
    /// # Errors
    /// The read failed. The input has then ended.
    pub fn read(&mut self) -> io::Result<()> {
        let read = self.input.as_mut().map_or(Ok(()), Input::read);
        self.input.take_if(|input| input.is_over());
        read
    }

    /// Reads no more input from now on.
    pub fn stop(&mut self) {
        if let Some(input) = self.input.take() {
            self.unread_from = Some(input.lines());
        }
    }

    /// After which line reading was stopped, if it was.
    pub fn unread_from(&self) -> Option<u64> {
        self.unread_from
    }
}
