//! The node, and the topics that the options give for it. Connects to nothing.

use super::options::Options;
use super::topic::{Topics, filter_with_node, is_node, matches};
use crate::options::Usage;
use std::ffi::OsStr;

/// The names.
#[derive(Clone, Debug)]
pub struct Names {
    /// The name of this board.
    pub node: String,
    /// The topics of messages.
    pub topics: Topics,
    /// The topics of commands.
    pub subscription: Option<String>,
}

impl Names {
    /// The names that these options give.
    ///
    /// # Errors
    /// Why the options contradict each other, in one line.
    pub fn new(options: &Options) -> Result<Self, String> {
        let node = node(options)?;
        let refused = |name, value: &str, reason| Usage::option(name, OsStr::new(value), reason).to_string();
        let topics = Topics::new(&options.topic, &node)
            .map_err(|allowed| refused("topic", &options.topic, with_its_node(allowed, &node)))?;
        let Some(filter) = &options.subscribe else { return Ok(Self { node, topics, subscription: None }) };
        let subscription = filter_with_node(filter, &node)
            .map_err(|allowed| refused("subscribe", filter, with_its_node(allowed, &node)))?;
        let own = topics.all().find(|topic| matches(&subscription, topic));
        if let Some(topic) = own.filter(|_| options.journal.is_some()) {
            return Err(format!(
                "--subscribe {filter}: it matches {topic}, where this bridge publishes: each message would come back as a command"
            ));
        }
        Ok(Self { node, topics, subscription: Some(subscription) })
    }
}

fn node(options: &Options) -> Result<String, String> {
    match &options.node {
        Some(node) => Ok(node.clone()),
        None => nix::sys::utsname::uname()
            .ok()
            .and_then(|names| names.nodename().to_str().map(str::to_string))
            .filter(|name| is_node(name))
            .ok_or_else(|| "the host name cannot be the name of a node; give --node NAME".to_string()),
    }
}

fn with_its_node(allowed: String, node: &str) -> String {
    format!("{allowed}, with the node {node} in it")
}

#[cfg(test)]
mod tests {
    use super::super::limits::TOPIC_BYTES_MAX;
    use super::super::options::{Action, parse};
    use super::*;
    use std::ffi::OsString;

    fn names(args: &[&str]) -> Result<Names, String> {
        let args = ["--to", "mqtt://pi", "--node", "a-long-name"].iter().chain(args).map(OsString::from);
        match parse(args, std::iter::empty())? {
            Action::Run(options) => Names::new(&options),
            Action::Print(text) => Err(text),
        }
    }

    #[test]
    fn topics_are_measured_with_their_node() {
        for option in ["--topic", "--subscribe"] {
            let template = |length: usize| format!("{{node}}/{}", "x".repeat(length));
            let most = TOPIC_BYTES_MAX - "/lost".len() - "a-long-name/".len();
            let with = |length| {
                let args = ["--journal", "j", "--topic", "out", option, &template(length)];
                names(&args).map(|names| names.topics.lost().len())
            };
            assert!(with(most).is_ok_and(|lost| lost <= TOPIC_BYTES_MAX));
            assert!(with(most + 1).unwrap_err().contains("with the node a-long-name"));
        }
    }

    #[test]
    fn subscription_to_own_messages_is_refused() {
        let with = |args: &[&str]| names(&[args, &["--subscribe", "firstline/{node}/#"]].concat());
        let error = with(&["--journal", "j"]).unwrap_err();
        assert!(error.contains("firstline/a-long-name/p0") && !error.contains('\n'), "{error}");
        assert!(with(&["--journal", "j", "--topic", "out"]).is_ok());
        assert!(with(&[]).is_ok(), "it publishes nothing");
    }
}
