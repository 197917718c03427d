//! Topics, made of a template with `{node}` and `{priority}`.

use super::limits::{NODE_BYTES_MAX, RESPONSE_TOPIC_BYTES_MAX, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};
use crate::protocol::Priority;

const NODE: &str = "{node}";
const PRIORITY: &str = "{priority}";
const LOST: &str = "lost";

/// A template whose node is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(String);

/// Whether the name is valid for a node.
pub fn is_node(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=NODE_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Fills in the node, and checks the length and that there are no control characters. The callers check wildcards.
///
/// # Errors
/// A description of valid topics.
pub fn with_node(template: &str, node: &str) -> Result<String, String> {
    let topic = template.replace(NODE, node);
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX - LOST.len() - 1 {
        Err(format!("takes a topic of 1 to {} bytes", TOPIC_BYTES_MAX - LOST.len() - 1))
    } else if topic.split('/').count() > TOPIC_LEVELS_MAX {
        Err(format!("takes a topic of {TOPIC_LEVELS_MAX} levels at most"))
    } else if topic.chars().any(char::is_control) {
        Err("takes a topic without control characters".to_string())
    } else {
        Ok(topic)
    }
}

/// Fills in the node of a topic filter.
///
/// # Errors
/// A description of valid filters.
pub fn filter_with_node(template: &str, node: &str) -> Result<String, String> {
    let filter = with_node(template, node)?;
    if filter.contains(['{', '}']) {
        return Err("knows {node}, and nothing else in braces".to_string());
    }
    let shared = filter.strip_prefix("$share/").map(|rest| rest.split_once('/').unwrap_or_default());
    if shared.is_some_and(|(group, filter)| group.is_empty() || filter.is_empty()) {
        return Err("takes $share/GROUP/TOPIC, if it begins with $share".to_string());
    }
    // From the last level on, which has the index 0.
    let is_valid = |(index, level): (usize, &str)| match level {
        "+" => true,
        "#" => index == 0,
        level => !level.contains(['+', '#']),
    };
    if filter.split('/').rev().enumerate().all(is_valid) {
        Ok(filter)
    } else {
        Err("takes + only as a whole level, and # only as the last level".to_string())
    }
}

/// Whether an answer can be published to that topic. Some brokers end the connection otherwise.
pub fn is_response_topic(topic: &str) -> bool {
    let is_short = topic.len() <= RESPONSE_TOPIC_BYTES_MAX && topic.split('/').count() <= TOPIC_LEVELS_MAX;
    is_short && !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether a subscription to that filter gets messages of that topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    // `$share/GROUP/FILTER` shares the messages of FILTER with other clients.
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    let mut levels = topic.split('/');
    for wanted in shared.map_or(filter, |(_, filter)| filter).split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

impl Topics {
    /// The topics of that template.
    ///
    /// # Errors
    /// A description of valid templates.
    pub fn new(template: &str, node: &str) -> Result<Self, String> {
        let topic = with_node(template, node)?;
        if topic.starts_with('$') {
            return Err(
                "takes a topic that does not begin with $: brokers keep those for themselves".to_string()
            );
        }
        if topic.contains(['+', '#']) {
            return Err("takes a topic to publish to, without + and #".to_string());
        }
        if topic.replace(PRIORITY, "").contains(['{', '}']) {
            return Err("knows {node} and {priority}, and nothing else in braces".to_string());
        }
        Ok(Self(topic))
    }

    /// The topic of messages of that priority.
    pub fn of(&self, priority: Priority) -> String {
        self.0.replace(PRIORITY, &priority.number().to_string())
    }

    /// All topics that the bridge publishes to: one of each priority, and the one for losses.
    pub fn all(&self) -> impl Iterator<Item = String> + '_ {
        (0..=9).filter_map(Priority::new).map(|priority| self.of(priority)).chain([self.lost()])
    }

    /// The topic for reports of losses. It replaces the level with the priority and all levels after it; without such a
    /// level, it is one level below the topic.
    pub fn lost(&self) -> String {
        let levels: Vec<&str> = self.0.split('/').take_while(|level| !level.contains(PRIORITY)).collect();
        if levels.is_empty() { LOST.to_string() } else { format!("{}/{LOST}", levels.join("/")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_losses_have_their_topics() {
        for (template, nine, lost) in [
            ("firstline/{node}/p{priority}", "firstline/pi/p9", "firstline/pi/lost"),
            ("all", "all", "all/lost"),
            ("{priority}", "9", "lost"),
            ("{priority}/{node}", "9/pi", "lost"),
            ("a/{priority}/b/{priority}", "a/9/b/9", "a/lost"),
        ] {
            let topics = Topics::new(template, "pi").unwrap();
            assert_eq!((topics.of(Priority::URGENT).as_str(), topics.lost().as_str()), (nine, lost));
        }
    }

    #[test]
    fn filters_have_whole_wildcards_known_braces_and_whole_shares() {
        for (filter, expected) in [
            ("#", true),
            ("+/a/+", true),
            ("{node}/+/#", true),
            ("#/a", false),
            ("a/#/b", false),
            ("a#", false),
            ("a/b+", false),
            ("a/{nod}", false),
            ("$share/all/a", true),
            ("$share/all", false),
            ("$share//a", false),
            ("$share/all/", false),
        ] {
            assert_eq!(filter_with_node(filter, "pi").is_ok(), expected, "{filter}");
        }
    }

    #[test]
    fn response_topics_are_checked() {
        let (long, deep) = ("x".repeat(RESPONSE_TOPIC_BYTES_MAX + 1), "/".repeat(TOPIC_LEVELS_MAX));
        for (topic, expected) in [("a/b", true), ("", false), ("a/+", false), (&long, false), (&deep, false)]
        {
            assert_eq!(is_response_topic(topic), expected, "{topic}");
        }
    }

    #[test]
    fn filter_matches_as_at_a_broker() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("+/b", "a/b", true),
            ("+", "a/b", false),
            ("#", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("$share/all/a/#", "a/b", true),
            ("$share/all/b", "a", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
        let topics = Topics::new("firstline/{node}/p{priority}", "pi").unwrap();
        assert_eq!(topics.all().count(), 11);
        assert!(topics.all().any(|topic| matches("firstline/+/lost", &topic)));
        assert!(!topics.all().any(|topic| matches("firstline/pi/command/#", &topic)));
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        let (long, deep) = ("x".repeat(TOPIC_BYTES_MAX), "/".repeat(TOPIC_LEVELS_MAX));
        for template in ["", "a/+", "#", "{from}", "a{", "a\0b", "a\nb", "$SYS/a", &long, &deep] {
            assert!(Topics::new(template, "pi").is_err(), "{template}");
        }
        assert!(is_node("pi-4_b.local") && !is_node("") && !is_node("a/b") && !is_node("ä"));
        assert!(!is_node(&"x".repeat(NODE_BYTES_MAX + 1)));
    }
}
